"""Stages and settings on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmupt.plan.architecture import read_architecture
from mmupt.plan.assumptions import Assumptions
from mmupt.plan.gpus import GPUS, Cluster
from mmupt.plan.memory import Setting
from mmupt.plan.workload import Given, StageWork, stage_work
from mmupt.recipe import load_recipe


@pytest.fixture
def paper() -> Callable[..., tuple[Setting, StageWork]]:
    """The upt stage of the paper's recipe with changes of the recipe, on so many GPUs, with changes of the setting."""

    def _paper(
        *overrides: str,
        gpus: int = 64,
        gpu: str = "H100",
        model: str = "7B",
        given: Given | None = None,
        **changes: Any,
    ) -> tuple[Setting, StageWork]:
        recipe = load_recipe("mm-upt-paper", list(overrides))
        found = read_architecture(f"Qwen/Qwen2.5-VL-{model}-Instruct")
        setting = Setting(
            found, recipe.model, Cluster(GPUS[gpu], gpus, 8), "sharded", Assumptions(),
            checkpointing=recipe.model.gradient_checkpointing,
        )  # fmt: skip
        stage: Any = recipe.stages[0]
        return replace(setting, **changes), stage_work(stage, recipe, found, given or Given())

    return _paper
