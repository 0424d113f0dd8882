"""The figures of a measurement, with intervals bootstrapped over questions (Q of them; K samples a question)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmupt.runtime.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions and its 95 % percentile-bootstrap interval."""

    value: float
    low: float
    high: float


def estimate(scores_Q: NDArray[np.float64], *, resamples: int, seed: int) -> Estimate:
    """The mean of one score a question, with the interval of `resamples` draws of Q questions with replacement."""
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    count = len(scores_Q)
    means = np.array([scores_Q[rng.integers(0, count, count)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(scores_Q.mean()), float(low), float(high))
