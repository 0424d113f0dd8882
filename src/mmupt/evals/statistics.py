"""The figures of a measurement, with intervals bootstrapped over questions (Q of them; K samples a question), and
whether two measurements of the same questions differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
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
    """The mean of one score a question, with the interval of `resamples` draws of Q questions with replacement.

    Where every question scores 0, or every one 1, resampling sees no variance and would claim certainty; the open end
    is then the exact binomial bound, 1 - 0.025^(1/Q) away (Clopper and Pearson 1934).
    """
    if np.all(scores_Q == 0) or np.all(scores_Q == 1):
        value, reach = float(scores_Q[0]), _unseen(len(scores_Q))
        return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    count = len(scores_Q)
    means = np.array([scores_Q[rng.integers(0, count, count)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(scores_Q.mean()), float(low), float(high))


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """What B is better than A by on the same `n` questions: mean(B - A), its 95 % paired-bootstrap interval, and the
    two-sided p-value of a sign-flip permutation test."""

    value: float
    low: float
    high: float
    p: float
    n: int


def paired_difference(
    a_Q: NDArray[np.float64], b_Q: NDArray[np.float64], *, resamples: int, seed: int
) -> PairedDifference:
    """Compares two scores a question, paired by position.

    The interval is the percentile interval of `resamples` draws of Q questions with replacement. The test asks how
    often |mean| is at least as large when each question's A and B are swapped by a fair coin: p = (count + 1) /
    (resamples + 1), never 0 (Phipson and Smyth 2010). Where no question differs the interval is the binomial bound of
    `estimate` on both sides. Raises ValueError where the scores do not pair up or where there
    are fewer than 2.

    Scores take few values (a share of k samples), so both draw how often each value comes up rather than questions:
    multinomial and binomial counts have the same distribution and cost nothing for thousands of questions.
    """
    if a_Q.shape != b_Q.shape or a_Q.ndim != 1 or len(a_Q) < 2:
        raise ValueError(f"needs the same 2 or more questions twice, not shapes {a_Q.shape} and {b_Q.shape}")
    differences_Q = b_Q - a_Q
    if not differences_Q.any():
        reach = _unseen(len(differences_Q))
        return PairedDifference(0.0, -reach, reach, 1.0, len(differences_Q))
    low, high = np.quantile(_bootstrap_means(differences_Q, resamples, seed), [0.025, 0.975])
    p = _sign_flip_p(differences_Q, resamples, seed)
    return PairedDifference(float(differences_Q.mean()), float(low), float(high), p, len(differences_Q))


def _unseen(count: int) -> float:
    """The largest rate at which something may happen and still not be seen in `count` questions with probability
    0.025: the exact binomial bound."""
    return 1.0 - 0.025 ** (1 / count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): with all adjusted values below 0.05 taken for real, the chance of even one
    false finding stays below 5 %, however the tests depend on each other."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _bootstrap_means(differences_Q: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(derive_seed(seed, "paired bootstrap"))
    values, counts = np.unique(differences_Q, return_counts=True)
    total = len(differences_Q)
    means: NDArray[np.float64] = rng.multinomial(total, counts / total, size=resamples) @ values / total
    return means


def _sign_flip_p(differences_Q: NDArray[np.float64], resamples: int, seed: int) -> float:
    rng = np.random.default_rng(derive_seed(seed, "sign flips"))
    sizes, counts = np.unique(np.abs(differences_Q[differences_Q != 0]), return_counts=True)
    kept = rng.binomial(counts, 0.5, size=(resamples, len(counts)))  # of each size, how many signs come up plus
    sums = (2 * kept - counts) @ sizes
    slack = 1e-9 * float(sizes @ counts)  # sums that are equal but for rounding count as equal
    count = int((np.abs(sums) >= abs(float(differences_Q.sum())) - slack).sum())
    return (count + 1) / (resamples + 1)
