"""A run with adapters whose second stage was stopped in the middle, and one without."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.train.context import StageContext

RECIPE = """
name = "little"
description = "a run for the tests | of export"
seed = 3

[model]
path = "world:tiny"
[model.lora]
rank = 4

[world]
sft_size = 16
rl_size = 4
unlabeled_size = 4
test_size = 40

[prompt]
suffix = ""
min_pixels = 3136
max_pixels = 3136

[evaluation]
samples = 2
max_new_tokens = 4
start = true
[evaluation.data]
path = "world:test"

[[stages]]
kind = "sft"
name = "one"
epochs = 1
batch_size = 8
checkpoint_every = 1
[stages.data]
path = "world:sft"
[stages.optimizer]
lr = 1e-2

[[stages]]
kind = "sft"
name = "two"
epochs = 2
batch_size = 8
checkpoint_every = 1
[stages.data]
path = "world:sft"
[stages.optimizer]
lr = 1e-2
"""


@pytest.fixture(scope="session")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage "one" is finished and measured; of "two" there are adapters behind steps 2 and 3 and no more."""
    root = tmp_path_factory.mktemp("runs")
    table: dict[str, Any] = {**tomllib.loads(RECIPE), "run_dir": str(root / "little")}
    (root / "little.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    real = StageContext.save_result

    def stop(self: StageContext, step: int, loaded: Any) -> Path:
        if self.stage == "two":
            raise KeyboardInterrupt
        return real(self, step, loaded)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StageContext, "save_result", stop)
        run_recipe(load_recipe(str(root / "little.toml")))
    return root / "little"
