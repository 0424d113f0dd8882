"""Fitting: against plain gradient descent, on truths that were planted, and without looking at what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mmupt.guard.probe.calibration import CALIBRATION, Calibration
from mmupt.guard.probe.estimate import estimate, probabilities
from mmupt.guard.probe.evidence import Evidence
from mmupt.guard.probe.fitting import Pair, fit, fit_logistic, held_out, rank_correlation
from mmupt.guard.probe.truth import Known

MakeEvidence = Callable[..., list[Evidence]]
PLANTED: Calibration = replace(CALIBRATION, lucky=0.4, closure=0.55, harm=0.2)


def planted(name: str, evidence: Sequence[Evidence], seed: int, family: str = "") -> Pair:
    """A pair whose truth follows PLANTED: majorities are right by its probabilities, minorities with its
    luck, and the run gains what it predicts."""
    rng = np.random.default_rng(seed)
    right = rng.random(len(evidence)) < probabilities(evidence, PLANTED)
    known = [
        Known(sample=e.share if ok else PLANTED.lucky * (e.readable - e.share), vote=float(ok))
        for e, ok in zip(evidence, right, strict=True)
    ]
    return Pair(name, evidence, known, estimate(evidence, PLANTED, resamples=2).gain.value, family)


@pytest.fixture
def pairs(made_evidence: MakeEvidence) -> list[Pair]:
    """Twelve, from hopeless to easy."""
    return [planted(f"p{k}", made_evidence(200, k, k + 5, view=0.3 + k / 20, seed=k), seed=k) for k in range(12)]


def test_logistic_is_the_least_penalised_loss() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 3)), rng.random(300)
    design = np.hstack([np.ones((300, 1)), x])
    penalty = np.array([0.0, 2.0, 2.0, 2.0])
    slow = np.zeros(4)
    for _ in range(20_000):
        slow -= 0.005 * (design.T @ (1 / (1 + np.exp(-design @ slow)) - y) + penalty * slow)
    assert fit_logistic(x, y, ridge=2.0) == pytest.approx(slow, abs=1e-5)


def test_logistic_stays_finite_where_classes_part() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    weights = fit_logistic(x, (x[:, 0] > 0).astype(float))
    assert np.isfinite(weights).all() and weights[1] > 0
    assert np.isfinite(fit_logistic(x, np.ones(50))).all()


def test_what_was_planted_is_found(pairs: list[Pair]) -> None:
    found = fit(pairs, "planted")
    assert found.source == "planted"
    assert found.lucky == pytest.approx(PLANTED.lucky)
    assert found.closure == pytest.approx(PLANTED.closure, abs=0.1)
    assert found.harm == pytest.approx(PLANTED.harm, abs=0.05)
    for pair in pairs:
        assert probabilities(pair.evidence, found) == pytest.approx(probabilities(pair.evidence, PLANTED), abs=0.1)
    assert 0 < found.spread.gain < 0.03 and 0 < found.spread.vote < 0.06


def test_neither_closure_nor_harm_is_below_zero(pairs: list[Pair]) -> None:
    assert fit([replace(pair, gain=-0.3) for pair in pairs], "").closure >= 0.0
    assert fit([replace(pair, gain=0.3) for pair in pairs], "").harm == 0.0


def test_without_runs_gains_stay_as_they_are(pairs: list[Pair]) -> None:
    found = fit([replace(pair, gain=None) for pair in pairs], "")
    assert (found.closure, found.harm) == (CALIBRATION.closure, CALIBRATION.harm)
    assert found.spread.gain == CALIBRATION.spread.gain != found.spread.vote


def test_no_pair_is_judged_by_what_has_seen_its_family(pairs: list[Pair]) -> None:
    kin = [replace(pair, family="twins") if pair.name in ("p3", "p7") else pair for pair in pairs]
    before = held_out(kin, "")
    lied = [
        replace(pair, gain=0.9, known=[Known(0.0, 1.0 - k.vote) for k in pair.known]) if pair.family else pair
        for pair in kin
    ]
    after = held_out(lied, "")
    same = [a == b for a, b in zip(before, after, strict=True)]
    assert [pair.name for pair, unmoved in zip(kin, same, strict=True) if unmoved] == ["p3", "p7"]
    with pytest.raises(ValueError, match="at least two"):
        held_out([replace(pair, family="all") for pair in pairs], "")


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [10, 200, 3000]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # By hand with a tie: ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3; covariance 4.5, variances 4.5 and 5.
    assert rank_correlation([1, 5, 5, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(rank_correlation([1, 1], [1, 2]))
