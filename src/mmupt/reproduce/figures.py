"""Figures over seeds, and differences between two models: paired by question within a seed, then averaged over seeds.

The interval of a difference draws questions anew within each seed: it says what other questions might have shown with
the same seeds. What other seeds might have shown is for the spread between seeds to say, which stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmupt.errors import DataError
from mmupt.evals.statistics import paired_difference
from mmupt.reproduce.kept import Figure, Kept
from mmupt.runtime.seeds import derive_seed

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """The mean over seeds of an accuracy in [0, 1], the lowest and the highest."""

    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher `higher` is than `lower`, the mean over seeds with its 95 % interval over questions, and of each
    seed."""

    value: float
    low: float
    high: float
    by_seed: Mapping[int, float]


def over_seeds(kept: Kept, which: str, figure: Figure) -> OverSeeds | None:
    """None where `which` (a run, or RUN:STAGE) has not been measured with any seed."""
    values = [
        float(scores.by_question(figure).mean())
        for seed in kept.seeds(which)
        if (scores := kept.scores(which, seed)) is not None
    ]
    return OverSeeds(float(np.mean(values)), min(values), max(values), len(values)) if values else None


def difference(kept: Kept, higher: str, lower: str, figure: Figure) -> Difference | None:
    """None where no seed has both. Raises DataError where the two were asked different questions."""
    by_seed: dict[int, NDArray[np.float64]] = {}
    for seed in sorted(set(kept.seeds(higher)) & set(kept.seeds(lower))):
        a, b = kept.scores(higher, seed), kept.scores(lower, seed)
        assert a is not None and b is not None, "both have been measured with this seed"
        if a.questions != b.questions:
            raise DataError(
                f"{higher} and {lower}, seed {seed}: measured on different questions ({a.set}, {b.set}); "
                "make one of them again"
            )
        by_seed[seed] = a.by_question(figure) - b.by_question(figure)
    if not by_seed:
        return None
    value = float(np.mean([d.mean() for d in by_seed.values()]))
    low, high = _interval(list(by_seed.values()))
    return Difference(value, low, high, {seed: float(d.mean()) for seed, d in by_seed.items()})


def _interval(differences: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over seeds of the mean over questions, by a bootstrap within each seed.
    Where nothing differs at all, that of all questions in one set, which knows that this shows little."""
    if not any(d.any() for d in differences):
        zeros = np.zeros(sum(len(d) for d in differences))
        none = paired_difference(zeros, zeros, resamples=RESAMPLES, seed=0)
        return none.low, none.high
    drawn = np.mean([_means(d, derive_seed(0, "reproduce", str(i))) for i, d in enumerate(differences)], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _means(differences_Q: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """f64[RESAMPLES]: means of Q questions drawn with replacement, by how often each value comes up."""
    values, counts = np.unique(differences_Q, return_counts=True)
    total = len(differences_Q)
    drawn: NDArray[np.float64] = (
        np.random.default_rng(seed).multinomial(total, counts / total, size=RESAMPLES) @ values / total
    )
    return drawn
