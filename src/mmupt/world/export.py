"""The world on disk, as any other data set."""

from __future__ import annotations

from pathlib import Path

from mmupt.data.writer import write_jsonl
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import SHARES, world_prompts, world_split


def write_world(settings: WorldSettings, folder: Path) -> None:
    """Write every split as `<split>.jsonl`, pictures in `images/`. The file of the split `unlabeled` holds no answers.

    Raises DataError where one of the files exists already.
    """
    for split in SHARES:
        write_jsonl(
            folder, split, world_prompts(settings, split) if split == "unlabeled" else world_split(settings, split)
        )
