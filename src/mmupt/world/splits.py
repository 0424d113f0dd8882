"""The rows of the world: `sft` with chains, `rl` and `test` with true answers, `unlabeled` for label-free stages.

A picture belongs to one split by a hash of its contents, so that no two splits share one, whatever their sizes,
seeds and mixes. Row n of a split depends on the seed, the split's name, its mix and the rows before it, never on the
split's size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

from mmupt.errors import ConfigError
from mmupt.types import ImageSource, LabeledPrompt, Prompt
from mmupt.world.draw import png_bytes
from mmupt.world.kinds import KINDS
from mmupt.world.mixes import MIXES, Mix, question_kinds
from mmupt.world.scenes import Question, Scene
from mmupt.world.settings import MixName, Split, WorldSettings
from mmupt.world.skills import LEVELS, SKILLS, skill_row

SHARES: dict[Split, int] = {"sft": 40, "rl": 15, "unlabeled": 25, "test": 20}
"""Percent of all pictures that belong to each split."""

_TRIES = 20_000


def split_of(scene: Scene) -> Split:
    """The split that a picture belongs to, the same for ever."""
    point = int.from_bytes(hashlib.sha256(scene.key().encode()).digest()[:8], "big") % 100
    for split, share in SHARES.items():
        if point < share:
            return split
        point -= share
    raise AssertionError("the shares of all splits add up to 100")


def world_split(settings: WorldSettings, split: Split, mix: MixName | None = None) -> list[LabeledPrompt]:
    """All rows of a split, with pictures drawn. Only rows of `sft` have a `solution`, the chain of a reader who
    misreads; `answer` is always the true one. `meta` holds scene (kind), question (kind or skill), level and key.

    With `mix` they ask what that mix asks, instead of `settings.mix`; so that no two rows of a world have one id, ids
    then hold its name. No prompt comes twice but in `sft`, where its chains differ. Raises ConfigError where the world
    has too few pictures for the size that is asked for.
    """
    draw = _Draw(settings, split, settings.mix if mix is None else mix)
    return [_row(draw, number) for number in range(draw.size)]


def world_prompts(settings: WorldSettings, split: Split, mix: MixName | None = None) -> list[Prompt]:
    """The same rows without any answer: what a label-free stage is handed."""
    return [row.prompt for row in world_split(settings, split, mix)]


class _Draw:
    """One drawing of a split: what is asked for, and which prompts have come so far (not kept in `sft`)."""

    def __init__(self, settings: WorldSettings, split: Split, mix: MixName) -> None:
        self.settings, self.split, self.mix = settings, split, mix
        self.size = _size(settings, split)
        self.entries = _entries(mix, split)
        self.name = split if mix == settings.mix else f"{split}@{mix}"
        self._seen: set[tuple[str, str, tuple[str, ...] | None]] = set()

    def is_new(self, key: str, text: str, choices: tuple[str, ...] | None) -> bool:
        """Whether this prompt may come: once, but in `sft` as often as it likes."""
        if self.split == "sft":
            return True
        known = len(self._seen)
        self._seen.add((key, text, choices))
        return len(self._seen) > known


def _size(settings: WorldSettings, split: Split) -> int:
    sizes = {
        "sft": settings.sft_size,
        "rl": settings.rl_size,
        "unlabeled": settings.unlabeled_size,
        "test": settings.test_size,
    }
    return sizes[split]


def _entries(mix: MixName, split: Split) -> Mix:
    """Skills are taught in `sft`. Of them only "verify" has an answer that can be graded, and a vote on it is no
    question about the picture: it stands in `rl` and `test` too, and never in `unlabeled`."""
    left_out = {"sft": (), "unlabeled": SKILLS}.get(split, ("ask", "ask_another", "describe"))
    return {entry: weight for entry, weight in MIXES[mix].items() if entry[1] not in left_out}


def _row(draw: _Draw, number: int) -> LabeledPrompt:
    settings, split, mix = draw.settings, draw.split, draw.entries
    rng = Random(f"mmupt-world/{settings.seed}/{split}/{number}")
    scene_kind, kind = rng.choices(list(mix), weights=list(mix.values()))[0]
    wrong = settings.wrong_readings
    for scene in _scenes(rng, scene_kind, split):
        questions = _valid(scene, question_kinds(mix, scene_kind) if kind in SKILLS else [kind])
        choices = unit = None
        if kind in SKILLS:
            questions = [question for question in questions if question.choices is None]
            if len(questions) < 2:
                continue
            text, answer, solution = skill_row(kind, scene, questions, rng, wrong)
            level = LEVELS[kind]
        elif questions:
            question = rng.choice(questions)
            text, choices, unit, level = question.text, question.choices, question.unit, question.level
            answer, solution = question.solve(scene).answer, question.chain(scene, rng, wrong)
        else:
            continue
        key = scene.key()
        if not draw.is_new(key, text, choices):
            continue
        return LabeledPrompt(
            prompt=Prompt(
                id=f"world-{draw.name}-{number}",
                question=f"<image>{text}",
                images=(ImageSource(data=png_bytes(scene.draw())),),
                choices=choices,
            ),
            answer=answer,
            unit=unit,
            solution=solution if split == "sft" else None,
            meta={"scene": scene_kind, "question": kind, "level": level, "key": key},
        )
    raise ConfigError(
        f'{split}_size {draw.size} is too large: mix "{draw.mix}" has no new "{kind}" row about '
        f"{scene_kind} pictures left after {number} rows; lower {split}_size, or take a richer mix",
        where="[world]",
    )


def _scenes(rng: Random, scene_kind: str, split: Split) -> Iterator[Scene]:
    """Pictures of the split, drawn by rejection."""
    for _ in range(_TRIES):
        scene = KINDS[scene_kind].scene.random(rng)
        if split_of(scene) == split:
            yield scene


def _valid(scene: Scene, kinds: list[str]) -> list[Question]:
    questions = KINDS[scene.kind].questions
    return [question for question in questions if question.kind in kinds and question.valid(scene)]
