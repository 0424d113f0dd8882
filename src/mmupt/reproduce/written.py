"""The questions that a run's model has written, judged by the world that has drawn the pictures. The run itself knows
neither which of them can be answered nor how."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmupt.answers.equivalence import grade
from mmupt.errors import RunFolderError
from mmupt.recipe import Recipe
from mmupt.runtime.layout import RunLayout
from mmupt.synth.candidates import read_rows
from mmupt.synth.settings import SynthStage
from mmupt.synth.stage import SynthFolder
from mmupt.world.checker import understand
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split


@dataclass(frozen=True, slots=True)
class Asked:
    """Of `written` responses `valid` ask what has exactly one answer in their picture; of those that are `kept`
    `kept_valid` do, and of these the model's majority answer is right `majority_right` times."""

    written: int
    valid: int
    kept: int
    kept_valid: int
    majority_right: int


def asked(layout: RunLayout, recipe: Recipe) -> dict[str, Asked]:
    """By stage, of all stages that have written questions about pictures of `world:unlabeled@dice`. Raises
    RunFolderError where a picture is none of those."""
    stages = [stage for stage in recipe.stages if isinstance(stage, SynthStage)]
    files = {stage.name: SynthFolder(layout.made(stage.name)).candidates for stage in stages}
    files = {name: file for name, file in files.items() if file.exists()}
    if not files:
        return {}
    keys = _keys(recipe.world)
    return {name: _judged(file, keys) for name, file in files.items()}


def _judged(file: Path, keys: Mapping[bytes, str]) -> Asked:
    verdicts = list(_verdicts(file, keys))
    kept = [(valid, right) for is_kept, valid, right in verdicts if is_kept]
    return Asked(
        written=len(verdicts),
        valid=sum(valid for _, valid, _ in verdicts),
        kept=len(kept),
        kept_valid=sum(valid for valid, _ in kept),
        majority_right=sum(right for _, right in kept),
    )


def _verdicts(file: Path, keys: Mapping[bytes, str]) -> Iterator[tuple[bool, bool, bool]]:
    """Of each candidate: is it kept, is it valid, is the majority answer to it right."""
    for row in read_rows(file):
        (image,) = row["images"]
        key = keys.get(_hash(_bytes(image)))
        if key is None:
            raise RunFolderError(f'{file}: "{row["subject"]}" is no picture of the world; it cannot be judged')
        for candidate in row["candidates"]:
            told = understand(key, candidate["question"]) if candidate["question"] is not None else None
            valid = told is not None and told.valid
            right = told is not None and told.answer is not None and grade(candidate["majority"], told.answer)
            yield candidate["dropped"] is None, valid, right


def _keys(world: WorldSettings) -> dict[bytes, str]:
    """What each picture that the miniatures write about shows, by a hash of its bytes."""
    rows = world_split(world, "unlabeled", "dice")
    return {_hash(image.data or b""): str(row.meta["key"]) for row in rows for image in row.prompt.images}


def _bytes(image: Mapping[str, Any]) -> bytes:
    return bytes(image["bytes"]) if image["path"] is None else Path(image["path"]).read_bytes()


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
