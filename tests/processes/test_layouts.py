"""No process has the whole model: the same losses and weights, folders and answers as of one that has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.processes.conftest import UPT, Group
from tests.processes.test_equality import same_training

pytestmark = pytest.mark.timeout(900)

Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]
SHARDED = {"processes": {"layout": "sharded"}}


def test_the_same_training(recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path) -> None:
    path = recipe("upt", UPT, **SHARDED)
    runs = {size: tmp_path / f"on-{size}" for size in (1, 2)}
    for ended in work(*(Group(size).run(path, run) for size, run in runs.items())):
        assert set(ended.codes) == {0}, ended.said
    same_training(runs[1], runs[2], "upt", tiny_folder)
