"""A recipe of seconds with every kind of stage, and the same questions as files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.data.writer import write_jsonl
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split

MICRO = """
name = "micro"
seed = 5

[model]
path = "given by the fixture"

[world]
sft_size = 64
rl_size = 24
unlabeled_size = 24
test_size = 8

[prompt]
suffix = ""
min_pixels = 3136
max_pixels = 3136

[rollout]
group_size = 4
temperature = 1.0
top_p = 1.0
max_new_tokens = 12

[evaluation]
samples = 2
max_new_tokens = 12
start = false
every_stage = false
[evaluation.data]
path = "world:test"

[[stages]]
kind = "sft"
name = "sft"
epochs = 3
batch_size = 16
checkpoint_every = 2
[stages.data]
path = "world:sft"
[stages.optimizer]
lr = 1e-3
schedule = "cosine"
warmup_steps = 2

[[stages]]
kind = "rl"
name = "rl"
steps = 3
prompts_per_step = 4
updates_per_step = 2
checkpoint_every = 2
[stages.data]
path = "world:rl"
[stages.optimizer]
lr = 1e-3

[[stages]]
kind = "upt"
name = "upt"
steps = 6
prompts_per_step = 4
updates_per_step = 1
checkpoint_every = 2
[stages.data]
path = "world:unlabeled"
[stages.reward]
name = "majority_vote"   # so small a start has few majorities of its own to be taught by
[stages.optimizer]
lr = 1e-3

[[stages]]
kind = "eval"
name = "after"
"""


@pytest.fixture(scope="session")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned to put some number in a box: without it no vote is read and nothing is learned, and a
    test of what is learned would be empty."""
    root = tmp_path_factory.mktemp("answering")
    rows = [replace(row, solution=None) for row in world_split(WorldSettings(sft_size=400), "sft")]
    table = tomllib.loads(MICRO)
    table["model"]["path"] = "world:tiny"
    del table["evaluation"], table["rollout"]
    path = write_jsonl(root / "questions", "train", rows)
    sft = {
        **table["stages"][0],
        "data": {"path": str(path)},
        "epochs": 2,
        "optimizer": {"lr": 3e-3},
        "checkpoint_every": 99,
    }
    table.update(stages=[sft], run_dir=str(root / "run"))
    recipe = root / "answering.toml"
    recipe.write_text(tomli_w.dumps(table), encoding="utf-8")
    run_recipe(load_recipe(str(recipe)))
    checkpoint = latest_checkpoint(RunLayout(root / "run").checkpoints("sft"))
    assert checkpoint is not None
    return checkpoint


@pytest.fixture
def micro(tmp_path: Path, answering: Path) -> Callable[..., Path]:
    """Writes the micro recipe, changed by `edit`, and returns its path."""

    def _micro(edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
        table = tomllib.loads(MICRO)
        table["run_dir"] = str(tmp_path / "run")
        table["model"]["path"] = str(answering)
        if edit is not None:
            edit(table)
        path = tmp_path / "micro.toml"
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        return path

    return _micro


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Twelve questions of the world as `train.jsonl` with PNG files."""
    rows = world_split(WorldSettings(unlabeled_size=12), "unlabeled")
    return write_jsonl(tmp_path / "questions", "train", rows)
