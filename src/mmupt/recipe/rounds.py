"""`[loop]`: stages that are repeated, written out as the stages they are before the recipe is checked.

    [loop]
    stages = ["synth", "upt"]
    rounds = 3

repeats these stages, which stand next to each other, as `synth-1`, `upt-1`, `synth-2`, `upt-2`, ...; rows that one
makes for another ("stage:synth") are those of the same round, and for stages behind the loop those of the last. The
guard of a label-free stage carries on that of the round before (`guard.follows`), so that all rounds are held against
the first start, and no round follows one that the guard has ended.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from mmupt.data.settings import MADE
from mmupt.settings import Settings

LOOP = "loop"


class LoopSettings(Settings):
    """`stages` names stages of the recipe in their order; they are run `rounds` times."""

    stages: tuple[str, ...] = Field(strict=False, min_length=1)
    rounds: int = Field(ge=1)


class Looped(Settings):
    """What a recipe with a loop has beside everything else."""

    loop: LoopSettings


def misplaced(loop: LoopSettings, document: Mapping[str, Any]) -> list[str]:
    """What is wrong between the loop and the stages, each a sentence."""
    names = [stage.get("name") for stage in document["stages"]]
    unknown = [name for name in loop.stages if name not in names]
    if unknown:
        return [f'loop.stages: no stage is named "{unknown[0]}"; the stages are {", ".join(map(str, names))}']
    first = names.index(loop.stages[0])
    if names[first : first + len(loop.stages)] != list(loop.stages):
        return [
            "loop.stages: these stages do not stand next to each other in this order; "
            f"the stages are {', '.join(map(str, names))}"
        ]
    return []


def unroll(loop: LoopSettings, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the loop's stages written out once a round, for which `misplaced` has found nothing."""
    names = [stage["name"] for stage in document["stages"]]
    first = names.index(loop.stages[0])
    behind = first + len(loop.stages)
    guarded = document.get("guard", {}).get("enabled", True)
    stages = list(document["stages"][:first])
    for number in range(1, loop.rounds + 1):
        for stage in document["stages"][first:behind]:
            one = _from_round(stage, loop, number)
            one["name"] = f"{stage['name']}-{number}"
            if stage["kind"] == "upt" and number > 1 and stage.get("guard", {}).get("enabled", guarded):
                one["guard"] = {**one.get("guard", {}), "follows": f"{stage['name']}-{number - 1}"}
            stages.append(one)
    stages += [_from_round(stage, loop, loop.rounds) for stage in document["stages"][behind:]]
    return {**document, "stages": stages}


def _from_round(stage: Mapping[str, Any], loop: LoopSettings, number: int) -> dict[str, Any]:
    """A copy of the stage that reads the rows of that round."""
    one = copy.deepcopy(dict(stage))
    path = one.get("data", {}).get("path", "")
    if path.startswith(MADE) and path.removeprefix(MADE) in loop.stages:
        one["data"]["path"] = f"{path}-{number}"
    return one
