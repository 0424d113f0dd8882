"""Where a stage's rows come from: the offline world, a file, or the hub, behind two functions.

`labeled_rows` is for stages that may see answers, `blind_prompts` for those that may not: what it returns has no field
for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from mmupt.data.dataset import SkippedRow, load_labeled, load_prompts
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError
from mmupt.types import LabeledPrompt, Prompt
from mmupt.world.settings import Split, WorldSettings
from mmupt.world.splits import world_prompts, world_split

_WORLD = "world:"


@dataclass(frozen=True, slots=True)
class Labeled:
    """Rows with answers, and the rows of the source that could not be used."""

    rows: Sequence[LabeledPrompt]
    skipped: Sequence[SkippedRow] = ()


@dataclass(frozen=True, slots=True)
class Blind:
    """Prompts, and the rows of the source that could not be used."""

    prompts: Sequence[Prompt]
    skipped: Sequence[SkippedRow] = ()


def labeled_rows(data: DataSettings, world: WorldSettings) -> Labeled:
    """DataError where the source is missing, empty, or holds rows that `bad_rows` does not let pass."""
    if data.path.startswith(_WORLD):
        return Labeled(world_split(world, _split(data.path))[: data.limit])
    found = load_labeled(data)
    return Labeled(found.rows, found.skipped)


def blind_prompts(data: DataSettings, world: WorldSettings) -> Blind:
    """The same without ever reading an answer."""
    if data.path.startswith(_WORLD):
        return Blind(world_prompts(world, _split(data.path))[: data.limit])
    found = load_prompts(data)
    return Blind(found.rows, found.skipped)


def _split(path: str) -> Split:
    name = path.removeprefix(_WORLD)
    for split in get_args(Split):
        if name == split:
            return split
    raise DataError(f"data.path {path!r}: the world has no split {name!r}; choose one of {', '.join(get_args(Split))}")
