"""Groups on their way into the loss, and the gradient of one update over them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.packing import PackItem
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage
from mmupt.train.update import ScoredGroup, UpdateStats, accumulate_gradients
from mmupt.types import Prompt, Rollout, RolloutGroup


@pytest.fixture
def stage_with() -> Callable[..., GrpoStage]:
    def _stage(**changes: Any) -> GrpoStage:
        values: dict[str, Any] = {
            "kind": "upt",
            "name": "upt",
            "data": {"path": "x"},
            "steps": 1,
            "updates_per_step": 1,
            "prompts_per_step": 3,
            "rollout": {"temperature": 0.7, "max_new_tokens": 16},
            "algo": {"kl_coef": 0.0},
        }
        return GrpoStage(**{**values, **changes})

    return _stage


@pytest.fixture
def scored_groups() -> Callable[..., list[ScoredGroup]]:
    def _groups(items: list[PackItem], seed: int = 0) -> list[ScoredGroup]:
        rng = torch.Generator().manual_seed(seed)
        scored = []
        for i, item in enumerate(items):
            rollouts = tuple(
                Rollout(tuple(c), tuple((-torch.rand(len(c), generator=rng) * 5).tolist()), "", "end")
                for c in item.completions
            )
            group = RolloutGroup(Prompt(f"p{i}", "?"), item.encoded, rollouts)
            scored.append(ScoredGroup(group, torch.randn(len(rollouts), generator=rng)))
        return scored

    return _groups


@pytest.fixture
def gradient() -> Callable[..., Tensor]:
    def _gradient(
        tiny: LoadedModel, stage: GrpoStage, scored: list[ScoredGroup], reference: StartModel | None = None
    ) -> Tensor:
        tiny.model.zero_grad()
        accumulate_gradients(stage, Policy(tiny), scored, [None] * len(scored), reference, UpdateStats(), PhaseClock())
        return torch.cat([p.grad.flatten() for p in tiny.model.parameters() if p.grad is not None])

    return _gradient


@pytest.fixture
def perturbed(tiny: LoadedModel) -> Callable[[], nn.Module]:
    """Makes the same frozen copy of the model each time, with noise on its weights."""

    def _perturbed() -> nn.Module:
        model = copy.deepcopy(tiny.model).requires_grad_(False).eval()
        rng = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=rng))
        return model

    return _perturbed
