"""A real vLLM for the tiny model, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.settings import VLLMSettings
from mmupt.engines.vllm.host import Needs, VLLMHost
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import EncodedPrompt, Rollout

NEEDS = Needs(VLLMSettings(kv_cache_mib=256), tokens=512, rollouts=32, pixels=50_000)
LONG = "How many dice are red? " * 12
"""Longer than a block of the prefix cache."""


@pytest.fixture(scope="session")
def host() -> Iterator[VLLMHost]:
    host = VLLMHost(NEEDS)
    yield host
    host.close()


@pytest.fixture
def requests(encode: Callable[..., EncodedPrompt]) -> list[Request]:
    """Two pictures and more than one block of text; one very thin picture; text alone."""
    rng = np.random.default_rng(0)
    prompts = [
        encode(rng, LONG, [(84, 112), (200, 60)]),
        encode(rng, "Add all dice.", [(30, 3000)]),
        encode(rng, "Largest die?", []),
    ]
    return [Request(p, tuple(range(10 * i, 10 * i + 3 + i))) for i, p in enumerate(prompts)]


Mismatch = Callable[[LoadedModel, Sequence[Request], Sequence[Sequence[Rollout]], Sampling], float]


@pytest.fixture
def mismatch() -> Mismatch:
    """The largest difference between the log-probs that rollouts carry and those that the trainer's forward finds."""

    def _mismatch(
        loaded: LoadedModel, asked: Sequence[Request], groups: Sequence[Sequence[Rollout]], sampling: Sampling
    ) -> float:
        items = [PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(asked, groups, strict=True)]
        expected = no_grad_logprobs(loaded, pack(items), temperature=sampling.temperature or 1.0, chunk=1024)
        reported = torch.tensor([p for group in groups for rollout in group for p in rollout.logprobs])
        return float((expected - reported).abs().max())

    return _mismatch


def shake(loaded: LoadedModel, seed: int, amount: float = 0.02) -> None:
    """What an update does, and more: every trained weight moves."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(amount * torch.randn(parameter.shape, generator=rng))
