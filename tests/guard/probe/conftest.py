"""Evidence and groups made up for tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmupt.answers.vote import vote
from mmupt.guard.probe.evidence import Evidence, evidence_of_vote

MakeEvidence = Callable[..., list[Evidence]]


@pytest.fixture
def made_evidence() -> MakeEvidence:
    """`count` prompts, each asked 16 times: a random number of `low` to `high` samples give one answer, the others one
    of four."""

    def make(count: int, low: int, high: int, *, view: float | None = None, seed: int = 0) -> list[Evidence]:
        rng = np.random.default_rng(seed)
        found = []
        for i in range(count):
            agreeing = int(rng.integers(low, high + 1))
            answers = ["7"] * agreeing + [str(k) for k in rng.integers(1, 5, 16 - agreeing)]
            kept = None if view is None else view >= 0.5
            found.append(evidence_of_vote(f"p{i}", vote(answers), seed=seed, view=view, view_kept=kept))
        return found

    return make
