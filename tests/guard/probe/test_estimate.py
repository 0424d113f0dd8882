"""Estimates against their formulas, prompt by prompt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mmupt.guard.probe.calibration import CALIBRATION, Calibration, Spread
from mmupt.guard.probe.estimate import estimate, probabilities
from mmupt.guard.probe.evidence import Evidence

MakeEvidence = Callable[..., list[Evidence]]
EXACT = replace(CALIBRATION, spread=Spread(0.0, 0.0, 0.0))


def slow(evidence: list[Evidence], c: Calibration, least_share: float = 0.0) -> tuple[float, float, float]:
    """(sample, vote, gain), one prompt after another."""
    mean_share = sum(e.share for e in evidence) / len(evidence)
    samples, votes, gains = [], [], []
    for e in evidence:
        w = c.plain if e.view is None else c.viewed
        z = (
            w.intercept
            + w.share * e.share
            + w.margin * e.margin
            + w.stability * e.stability
            + w.mean_share * mean_share
        )
        z += w.view * e.view if e.view is not None else 0.0
        p = 1 / (1 + math.exp(-z)) if e.readable else 0.0
        sample = p * e.share + (1 - p) * c.lucky * (e.readable - e.share)
        learned = e.decided and e.share >= least_share
        samples.append(sample)
        votes.append(p)
        gains.append(c.closure * (p - sample) - c.harm * (1 - p) if learned else 0.0)
    return sum(samples) / len(samples), sum(votes) / len(votes), sum(gains) / len(gains)


@pytest.mark.parametrize("least_share", [0.0, 0.5])
def test_means_are_those_of_the_formulas(made_evidence: MakeEvidence, least_share: float) -> None:
    evidence = made_evidence(30, 0, 16) + made_evidence(30, 2, 12, view=0.6, seed=1)
    found = estimate(evidence, CALIBRATION, least_share=least_share)
    sample, vote, gain = slow(evidence, CALIBRATION, least_share)
    assert (found.sample.value, found.vote.value, found.gain.value) == pytest.approx((sample, vote, gain))
    assert found.gain_N.mean() == pytest.approx(gain)
    assert CALIBRATION.closure * found.room - CALIBRATION.harm * found.wrong == pytest.approx(gain)
    assert found.right_N == pytest.approx(probabilities(evidence, CALIBRATION))


def test_nothing_is_learned_where_nobody_wins_and_nobody_is_right_where_nothing_is_read() -> None:
    tied = Evidence("a", 8, 0.5, 0.0, 1.0, 0.7, 0.4, decided=False)
    silent = Evidence("b", 8, 0.0, 0.0, 0.0, 0.0, 0.0, decided=False)
    found = estimate([tied, silent], CALIBRATION)
    assert list(found.gain_N) == [0.0, 0.0] and found.gain.value == 0.0
    assert found.right_N[0] > 0 and found.right_N[1] == 0.0


def test_more_agreement_is_more_likely_right(made_evidence: MakeEvidence) -> None:
    base = Evidence("a", 16, 0.5, 0.2, 1.0, 1.0, 0.6, decided=True, view=0.5, view_kept=True)
    first = probabilities([base], CALIBRATION)[0]
    for change in ({"share": 0.7}, {"margin": 0.5}, {"stability": 0.9}, {"view": 0.9}):
        assert probabilities([replace(base, **change)], CALIBRATION)[0] > first, change


def test_the_interval_holds_what_other_prompts_say(made_evidence: MakeEvidence) -> None:
    """Of many draws of 100 prompts from one source, about 95 % of the intervals hold the value of all of them."""
    everything = made_evidence(4000, 1, 16, seed=3)
    true = estimate(everything, EXACT, resamples=2).gain.value
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        drawn = [everything[i] for i in rng.integers(0, len(everything), 100)]
        gain = estimate(drawn, EXACT, resamples=200).gain
        inside += gain.low <= true <= gain.high
    assert 180 <= inside <= 199


def test_what_the_calibration_is_wrong_by_widens_the_interval(made_evidence: MakeEvidence) -> None:
    evidence = made_evidence(50, 2, 14)
    narrow = estimate(evidence, EXACT).gain
    wide = estimate(evidence, replace(EXACT, spread=Spread(0.0, 0.0, 0.1))).gain
    assert wide.error == pytest.approx(math.hypot(narrow.error, 0.1))
    assert wide.value == narrow.value
    assert 0.5 < wide.chance_above_zero < narrow.chance_above_zero


def test_accuracies_stay_between_none_and_all(made_evidence: MakeEvidence) -> None:
    wild = replace(CALIBRATION, spread=Spread(1.0, 1.0, 1.0))
    found = estimate(made_evidence(20, 2, 14), wild)
    assert (found.sample.low, found.sample.high, found.vote.low, found.vote.high) == (0, 1, 0, 1)


def test_the_same_seed_gives_the_same_interval(made_evidence: MakeEvidence) -> None:
    evidence = made_evidence(20, 2, 14)
    assert estimate(evidence, EXACT, seed=1).gain == estimate(evidence, EXACT, seed=1).gain
    assert estimate(evidence, EXACT, seed=1).gain != estimate(evidence, EXACT, seed=2).gain
