"""What is asked about what, and how often: named weights over (picture kind, question kind or skill)."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.world.kinds import KINDS
from mmupt.world.settings import MixName
from mmupt.world.skills import SKILLS

Mix = Mapping[tuple[str, str], float]

# All four rest on the same reading of four faces, which a tiny model learns in a minute from any seed. A color is one
# bit, wrong as often as a face, and some seeds do not pick it up in the time of a demo: "full" asks for colors too.
_DICE: Mix = {("dice", kind): 1.0 for kind in ("sum", "largest", "smallest", "range")}
_DICE_SKILLS: Mix = {**_DICE, **{("dice", skill): 0.5 for skill in SKILLS}}
_FULL: Mix = {
    **{(name, question.kind): 1.0 for name, kind in KINDS.items() for question in kind.questions},
    **{(name, skill): 1.0 for name in KINDS for skill in SKILLS},
}

MIXES: dict[MixName, Mix] = {"dice": _DICE, "dice_skills": _DICE_SKILLS, "full": _FULL}


def question_kinds(mix: Mix, scene_kind: str) -> list[str]:
    """The question kinds that a mix asks about one picture kind, skills left out."""
    return [kind for name, kind in mix if name == scene_kind and kind not in SKILLS]
