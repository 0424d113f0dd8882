"""From evidence to estimates: is the majority answer right, how right are a sample and the vote, what is to be gained.

For a prompt whose majority answer is right with probability p, with share s, readable part r, and with kappa the chance
that another answer is right where the majority is wrong:

    vote    p
    sample  p s + (1 - p) kappa (r - s)
    gain    closure (vote - sample) - harm (1 - p), for a prompt that is learned from; else 0

A run moves samples toward the vote. Where a vote is wrong it takes away what the minority had right, kappa (r - s), and
the wrong label does harm elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmupt.guard.probe.calibration import Calibration, Logistic
from mmupt.guard.probe.evidence import Evidence
from mmupt.runtime.seeds import derive_seed

Floats = NDArray[np.float64]

RESAMPLES = 1000
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Predicted:
    """An estimate of a mean over the data set with a 95 % interval: what other prompts of the same source would have
    changed (bootstrap), and what the calibration is usually wrong by, as independent errors."""

    value: float
    low: float
    high: float
    error: float

    @property
    def chance_above_zero(self) -> float:
        """The probability that the true value is above zero, taking the error as normal."""
        return (
            0.5 * (1.0 + math.erf(self.value / (self.error * math.sqrt(2.0)))) if self.error else float(self.value > 0)
        )

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Estimates:
    """N prompts: the probability that each one's majority is right, what learning from each one gains (the mean is the
    gain), and the means with their intervals. `room` is the mean of vote - sample, `wrong` that of 1 - p, over all
    prompts, where those that are not learned from count 0."""

    right_N: Floats
    gain_N: Floats
    room: float
    wrong: float
    sample: Predicted
    vote: Predicted
    gain: Predicted


def probabilities(evidence: Sequence[Evidence], calibration: Calibration) -> Floats:
    """f64[N]: that the majority answer (among several, each of them with equal part) is right."""
    logits_N, mean_share_N = _logits(evidence, calibration)
    mean = float(np.mean([e.share for e in evidence]))
    return _right(evidence, logits_N + mean_share_N * mean)


def estimate(
    evidence: Sequence[Evidence],
    calibration: Calibration,
    *,
    least_share: float = 0.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimates:
    """Estimates of N >= 1 prompts. With `least_share` only prompts of that share or more are learned from; the others
    stay in the means, and gain nothing. Nor is anything learned from a vote without a winner."""
    count = len(evidence)
    share_N = np.array([e.share for e in evidence])
    readable_N = np.array([e.readable for e in evidence])
    learned_N = (share_N >= least_share) & np.array([e.decided for e in evidence])
    logits_N, mean_share_N = _logits(evidence, calibration)

    def sampled(right: Floats) -> Floats:
        return right * share_N + (1.0 - right) * calibration.lucky * (readable_N - share_N)

    def gained(right: Floats) -> Floats:
        return learned_N * (calibration.closure * (right - sampled(right)) - calibration.harm * (1.0 - right))

    right_N = _right(evidence, logits_N + mean_share_N * share_N.mean())

    # The mean share is itself an estimate from these prompts, so it is drawn again with them.
    rng = np.random.Generator(np.random.Philox(key=derive_seed(seed, "probe bootstrap")))
    draws_BN = rng.multinomial(count, np.full(count, 1.0 / count), size=resamples) / count
    means_B1 = (draws_BN @ share_N)[:, None]
    right_BN = _right(evidence, logits_N + mean_share_N * means_B1)

    def predicted(value_N: Floats, value_BN: Floats, spread: float, bounds: tuple[float, float]) -> Predicted:
        value = float(value_N.mean())
        drawn = float((draws_BN * value_BN).sum(axis=1).std())
        error = math.hypot(drawn, spread)
        low, high = (min(max(value + side * _NORMAL_95 * error, bounds[0]), bounds[1]) for side in (-1, 1))
        return Predicted(value, low, high, error)

    spread = calibration.spread
    return Estimates(
        right_N,
        gained(right_N),
        room=float((learned_N * (right_N - sampled(right_N))).mean()),
        wrong=float((learned_N * (1.0 - right_N)).mean()),
        sample=predicted(sampled(right_N), sampled(right_BN), spread.sample, (0.0, 1.0)),
        vote=predicted(right_N, right_BN, spread.vote, (0.0, 1.0)),
        gain=predicted(gained(right_N), gained(right_BN), spread.gain, (-1.0, 1.0)),
    )


def _logits(evidence: Sequence[Evidence], calibration: Calibration) -> tuple[Floats, Floats]:
    """Log-odds without the mean share's part, and its weight; f64[N] each."""
    logits, weights = [], []
    for e in evidence:
        by: Logistic = calibration.plain if e.view is None else calibration.viewed
        seen = 0.0 if e.view is None else by.view * e.view
        logits.append(by.intercept + by.share * e.share + by.margin * e.margin + by.stability * e.stability + seen)
        weights.append(by.mean_share)
    return np.array(logits), np.array(weights)


def _right(evidence: Sequence[Evidence], logits: Floats) -> Floats:
    """The probabilities of log-odds; where nothing could be read there is no answer that could be right."""
    some_N = np.array([e.readable > 0 for e in evidence])
    right: Floats = np.where(some_N, 1.0 / (1.0 + np.exp(-logits)), 0.0)
    return right
