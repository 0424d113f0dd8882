"""What is asked about what, and how often: named weights over (picture kind, question kind or skill)."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.world.kinds import KINDS, MEDIUM_KINDS, SMALL_KINDS
from mmupt.world.settings import MixName
from mmupt.world.skills import SKILLS

Mix = Mapping[tuple[str, str], float]


def _asked(scene_kind: str, *kinds: str) -> Mix:
    return {(scene_kind, kind): 1.0 for kind in kinds}


def _weighted(weight: float, mix: Mix) -> Mix:
    return {entry: weight * own for entry, own in mix.items()}


def _everything(scene_kinds: tuple[str, ...], skills: float) -> Mix:
    return {
        **{(name, question.kind): 1.0 for name in scene_kinds for question in KINDS[name].questions},
        **{(name, skill): skills for name in scene_kinds for skill in SKILLS},
    }


# All four rest on the same reading of four faces, which a tiny model learns in a minute from any seed. A color is one
# bit, wrong as often as a face, and some seeds do not pick it up in the time of a demo: "full" asks for colors too.
_DICE = _asked("dice", "sum", "largest", "smallest", "range")
_DICE_SKILLS: Mix = {**_DICE, **{("dice", skill): 0.5 for skill in SKILLS}}

# Of these the one that a model learns last: a start that is right about the others is mostly wrong about sums.
_DICE_SUMS = _asked("dice", "sum")

# The same pictures, and what four faces alone do not tell: colors to be told apart, one of several bounds, an order.
_DICE_HARD = _asked("dice", "sum_of_color", "more_than", "sorted", "fraction")

# Other families of pictures than dice, with questions that a tiny model learns a little of beside them.
_CHARTS: Mix = {
    **_asked("bars", "height", "largest", "range", "sum"),
    **_asked("table", "digit_at", "largest", "range", "sum"),
}
_ICONS: Mix = {
    **_asked("shapes", "shape_at", "color_at", "choice", "count_shape"),
    **_asked("clock", "hour", "minute", "color", "time"),
}

MIXES: dict[MixName, Mix] = {
    "dice": _DICE,
    "dice_skills": _DICE_SKILLS,
    "dice_sums": _DICE_SUMS,
    "dice_hard": _DICE_HARD,
    "dice_some_hard": {**_DICE, **_weighted(0.05, _DICE_HARD)},
    "charts": _CHARTS,
    "icons": _ICONS,
    "dice_charts_icons": {**_DICE, **_weighted(0.25, _CHARTS), **_weighted(0.25, _ICONS)},
    "full": _everything(SMALL_KINDS, skills=1.0),
    "medium": _everything(MEDIUM_KINDS, skills=0.5),
}


def question_kinds(mix: Mix, scene_kind: str) -> list[str]:
    """The question kinds that a mix asks about one picture kind, skills left out."""
    return [kind for name, kind in mix if name == scene_kind and kind not in SKILLS]
