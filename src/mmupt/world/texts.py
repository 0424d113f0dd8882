"""Representative texts of the world: what its tokenizer is made from."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from mmupt.data.settings import PAPER_SUFFIX
from mmupt.world.kinds import KINDS
from mmupt.world.mixes import MIXES, question_kinds
from mmupt.world.settings import WorldSettings
from mmupt.world.skills import SKILLS, skill_row

_EXAMPLES = 40


def world_texts(settings: WorldSettings) -> Iterator[str]:
    """Every question of the mix with its choices, example chains, prompts and targets of its skills, the paper's suffix
    and the numbers 0 to 99. The same texts for the same mix, whatever the seed and the sizes: a tokenizer made from
    them fits every model of that mix."""
    yield PAPER_SUFFIX
    yield from (str(number) for number in range(100))
    mix = MIXES[settings.mix]
    for name in dict.fromkeys(scene_kind for scene_kind, _ in mix):
        rng = Random(f"mmupt-world-texts/{name}")
        kinds = set(question_kinds(mix, name))
        questions = [question for question in KINDS[name].questions if question.kind in kinds]
        for question in questions:
            yield question.text
            yield from question.choices or ()
        scenes = [KINDS[name].scene.random(rng) for _ in range(_EXAMPLES)]
        for scene in scenes:
            valid = [question for question in questions if question.valid(scene)]
            yield from (question.solve(scene).chain for question in valid)
            plain = [question for question in valid if question.choices is None]
            for skill in (kind for scene_kind, kind in mix if scene_kind == name and kind in SKILLS):
                row = skill_row(skill, scene, plain, rng, wrong_readings=0.0)
                yield row.text
                yield row.solution
