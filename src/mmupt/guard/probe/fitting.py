"""Fitting a calibration to pairs of model and data whose truth is known. Nothing that a user runs needs this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmupt.guard.probe.calibration import CALIBRATION, Calibration, Logistic, Spread
from mmupt.guard.probe.estimate import Floats, estimate
from mmupt.guard.probe.evidence import Evidence
from mmupt.guard.probe.truth import Known

RIDGE = 1.0
_FEWEST = 3
"""From fewer families no spread is told, and from fewer runs nothing about gains."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A start model on a data set: its probe, the truth about each prompt, and what a run gained (None where there was
    none). Pairs of one `family` resemble each other (the same start, say) and are left out together."""

    name: str
    evidence: Sequence[Evidence] = field(repr=False)
    known: Sequence[Known] = field(repr=False)
    gain: float | None = None
    family: str = ""

    @property
    def kin(self) -> str:
        return self.family or self.name

    @property
    def sample(self) -> float:
        return sum(k.sample for k in self.known) / len(self.known)

    @property
    def vote(self) -> float:
        return sum(k.vote for k in self.known) / len(self.known)


def fit_logistic(x_NF: Floats, y_N: Floats, *, ridge: float = RIDGE, iterations: int = 100) -> Floats:
    """f64[F + 1]: intercept and weights that minimise the cross-entropy of targets in [0, 1] plus ridge/2 |weights|^2
    (the intercept is free), by Newton's method with halved steps."""
    design = np.hstack([np.ones((len(x_NF), 1)), x_NF])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6  # nothing to speak of, so that targets which are all alike have a finite answer

    def loss(weights: Floats) -> float:
        z = design @ weights
        return float((np.logaddexp(0.0, z) - y_N * z).sum() + 0.5 * (penalty * weights**2).sum())

    weights = np.zeros(design.shape[1])
    for _ in range(iterations):
        right = 1.0 / (1.0 + np.exp(-(design @ weights)))
        gradient = design.T @ (right - y_N) + penalty * weights
        hessian = (design * (right * (1.0 - right))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8 and loss(weights - size * step) > loss(weights):
            size /= 2
        weights = weights - size * step
        if float(np.abs(size * step).max()) < 1e-9:
            break
    return weights


def fit(pairs: Sequence[Pair], source: str) -> Calibration:
    """The calibration of these pairs. Its spreads are what calibrations fitted without a pair's family are wrong by on
    that pair."""
    fitted = _fit(pairs, source)
    misses: list[tuple[float, float, float | None]] = []
    if len({pair.kin for pair in pairs}) >= _FEWEST:
        for pair in pairs:
            others = [other for other in pairs if other.kin != pair.kin]
            misses.append(_misses(pair, _fit(others, source)))
    if not misses:
        return fitted
    gains = [gain for _, _, gain in misses if gain is not None]
    spread = Spread(
        sample=_rms([sample for sample, _, _ in misses]),
        vote=_rms([vote for _, vote, _ in misses]),
        gain=_rms(gains) if len(gains) >= _FEWEST else fitted.spread.gain,
    )
    return replace(fitted, spread=spread)


def held_out(pairs: Sequence[Pair], source: str) -> list[Calibration]:
    """For each pair the calibration fitted on all pairs of other families. ValueError where there is one family
    only."""
    if len({pair.kin for pair in pairs}) < 2:
        raise ValueError("leaving a family out takes at least two")
    made: dict[str, Calibration] = {}
    for kin in dict.fromkeys(pair.kin for pair in pairs):
        made[kin] = fit([other for other in pairs if other.kin != kin], source)
    return [made[pair.kin] for pair in pairs]


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's: the correlation of ranks, equal values sharing the mean of theirs; nan where either is constant."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size else math.nan


def _ranks(values: Sequence[float]) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    less = (found[:, None] > found).sum(axis=1)
    equal = (found[:, None] == found).sum(axis=1)
    ranks: Floats = less + (equal - 1) / 2
    return ranks


def _fit(pairs: Sequence[Pair], source: str) -> Calibration:
    """Everything but the spreads, which are those of the calibration in use."""
    plain, viewed = [], []  # one row a prompt: its features, then whether its vote is right
    lucky = minority = 0.0
    for pair in pairs:
        mean_share = sum(e.share for e in pair.evidence) / len(pair.evidence)
        for e, k in zip(pair.evidence, pair.known, strict=True):
            if e.readable == 0:
                continue
            features = [e.share, e.margin, e.stability, mean_share]
            plain.append([*features, k.vote])
            if e.view is not None:
                viewed.append([*features, e.view, k.vote])
            if k.vote == 0:
                lucky += k.sample
                minority += e.readable - e.share
    fitted = replace(
        CALIBRATION,
        plain=_logistic(plain) if plain else CALIBRATION.plain,
        viewed=_logistic(viewed) if viewed else CALIBRATION.viewed,
        lucky=min(lucky / minority, 1.0) if minority else CALIBRATION.lucky,
        source=source,
    )
    runs = [(estimate(pair.evidence, fitted, resamples=1), pair.gain) for pair in pairs if pair.gain is not None]
    if len(runs) < _FEWEST:
        return fitted
    parts = np.array([[found.room, -found.wrong] for found, _ in runs])
    closure, harm = _least_squares(parts, np.array([gain for _, gain in runs]))
    return replace(fitted, closure=closure, harm=harm)


def _least_squares(x_N2: Floats, y_N: Floats) -> tuple[float, float]:
    """The two weights, neither below zero, with the least squared error."""
    both = np.linalg.lstsq(x_N2, y_N, rcond=None)[0]
    squares = np.maximum((x_N2**2).sum(axis=0), 1e-12)
    alone = np.maximum(x_N2.T @ y_N / squares, 0.0)
    choices = [both] if both.min() >= 0 else [np.array([alone[0], 0.0]), np.array([0.0, alone[1]])]
    best = min(choices, key=lambda w: float(((x_N2 @ w - y_N) ** 2).sum()))
    return float(best[0]), float(best[1])


def _logistic(rows: Sequence[Sequence[float]]) -> Logistic:
    table = np.asarray(rows)
    intercept, share, margin, stability, mean_share, *view = map(float, fit_logistic(table[:, :-1], table[:, -1]))
    return Logistic(intercept, share, margin, stability, mean_share, *view)


def _misses(pair: Pair, calibration: Calibration) -> tuple[float, float, float | None]:
    found = estimate(pair.evidence, calibration, resamples=1)
    gain = None if pair.gain is None else found.gain.value - pair.gain
    return found.sample.value - pair.sample, found.vote.value - pair.vote, gain


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value**2 for value in values) / len(values))
