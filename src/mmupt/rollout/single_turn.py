"""One question, one answer: each prompt is sampled G times in a single turn."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.engines.base import Engine, Request, Sampling
from mmupt.engines.settings import RolloutSettings
from mmupt.rollout.prepare import Prepared
from mmupt.runtime.seeds import derive_seed
from mmupt.types import RolloutGroup


def sample_groups(
    prepared: Sequence[Prepared], engine: Engine, settings: RolloutSettings, *, seed: int, policy_version: int
) -> list[RolloutGroup]:
    """One group a prompt, in order. A rollout's seed derives from (run seed, prompt id, visit, index) alone."""
    requests = [
        Request(p.encoded, tuple(derive_seed(seed, p.prompt.id, p.visit, i) for i in range(settings.group_size)))
        for p in prepared
    ]
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    return [
        RolloutGroup(p.prompt, p.encoded, rollouts, p.visit, policy_version)
        for p, rollouts in zip(prepared, engine.generate(requests, sampling), strict=True)
    ]
