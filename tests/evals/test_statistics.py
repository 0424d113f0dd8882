"""Intervals and p-values, against slow and obvious references and on simulated data."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from mmupt.evals.statistics import estimate, holm, paired_difference

Scores = NDArray[np.float64]


def exact_p(differences: Scores) -> float:
    """All 2^Q ways to swap A and B."""
    observed = abs(differences.sum())
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=len(differences))]
    return float(np.mean([s >= observed - 1e-9 for s in sums]))


def slow_interval(differences: Scores, resamples: int, seed: int) -> tuple[float, float]:
    """Questions drawn one resample at a time."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(differences, len(differences)).mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def sampled(rng: np.random.Generator, rates: Scores, k: int) -> Scores:
    """Accuracy of k samples a question."""
    return rng.binomial(k, rates) / k


@pytest.mark.parametrize("seed", range(5))
def test_p_value_is_that_of_all_sign_flips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = rng.random(12)
    a, b = sampled(rng, rates, 8), sampled(rng, np.minimum(rates + 0.1 * seed, 1), 8)
    found = paired_difference(a, b, resamples=20_000, seed=seed)
    exact = exact_p(b - a)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_interval_is_that_of_resampled_questions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = rng.beta(1, 1, 200)
    a, b = sampled(rng, rates, 8), sampled(rng, rates, 8)
    found = paired_difference(a, b, resamples=20_000, seed=seed)
    low, high = slow_interval(b - a, 4000, seed)
    width = high - low
    assert found.value == pytest.approx((b - a).mean())
    assert found.low == pytest.approx(low, abs=0.06 * width)
    assert found.high == pytest.approx(high, abs=0.06 * width)


def test_about_five_of_a_hundred_null_comparisons_look_significant() -> None:
    """The same model twice: rates of the questions differ, the two measurements do not."""
    rng = np.random.default_rng(0)
    trials, significant, outside = 600, 0, 0
    for trial in range(trials):
        rates = rng.beta(0.5, 0.5, 150)
        found = paired_difference(sampled(rng, rates, 8), sampled(rng, rates, 8), resamples=400, seed=trial)
        significant += found.p <= 0.05
        outside += not found.low <= 0 <= found.high
    assert 0.025 <= significant / trials <= 0.08
    assert 0.025 <= outside / trials <= 0.09


def test_a_real_difference_is_found() -> None:
    """5 points on 300 questions: unpaired intervals overlap, the paired test sees it nearly always."""
    rng = np.random.default_rng(1)
    found = 0
    for trial in range(60):
        rates = rng.uniform(0.05, 0.9, 300)
        a, b = sampled(rng, rates, 8), sampled(rng, rates + 0.05, 8)
        result = paired_difference(a, b, resamples=400, seed=trial)
        found += result.p <= 0.05 and result.value > 0
    assert found >= 54


def test_no_difference_at_all() -> None:
    a = np.array([0.0, 1.0, 1.0])
    found = paired_difference(a, a, resamples=100, seed=0)
    assert (found.value, found.p, found.n) == (0.0, 1.0, 3)
    assert found.low == -found.high and (1 - found.high) ** 3 == pytest.approx(0.025), "3 questions exclude little"


def test_p_is_never_zero_and_knows_no_direction() -> None:
    a, b = np.zeros(200), np.ones(200)
    up, down = (paired_difference(x, y, resamples=999, seed=0) for x, y in [(a, b), (b, a)])
    assert up.p == down.p == 1 / 1000
    assert up.value == 1.0 and down.value == -1.0


def test_swapping_a_and_b_changes_only_signs() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random(40), rng.random(40)
    there, back = (paired_difference(x, y, resamples=5000, seed=0) for x, y in [(a, b), (b, a)])
    assert there.value == pytest.approx(-back.value)
    assert there.p == back.p
    assert there.low == pytest.approx(-back.high, abs=0.02)


def test_sums_equal_but_for_rounding_are_ties() -> None:
    """Differences of thirds sum to nearly 0 in every way that should give exactly 0: p must be 1."""
    differences = np.array([1 / 3, 2 / 3, -1 / 3, -2 / 3, 0.1, 0.2, -0.3])
    found = paired_difference(np.zeros(7), differences, resamples=500, seed=0)
    assert found.p == 1.0


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(50), rng.random(50)
    first, again, other = (paired_difference(a, b, resamples=300, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("a", "b"), [(np.zeros(3), np.zeros(4)), (np.zeros(1), np.ones(1)), (np.zeros((2, 2)),) * 2])
def test_what_does_not_pair_up_is_refused(a: Scores, b: Scores) -> None:
    with pytest.raises(ValueError, match="same 2 or more questions"):
        paired_difference(a, b, resamples=100, seed=0)


def test_holm() -> None:
    """The worked example: sorted p times 4, 3, 2, 1, and never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_estimate_covers_the_mean() -> None:
    scores = np.array([0.0] * 40 + [1.0] * 60)
    found = estimate(scores, resamples=2000, seed=0)
    low, high = slow_interval(scores, 2000, 1)
    assert found.value == 0.6
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015)


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    """200 samples of 60 coin flips: the 95 % interval holds the true rate nearly always, and not by being wide."""
    rng = np.random.default_rng(0)
    held, widths = 0, []
    for i in range(200):
        e = estimate((rng.random(60) < 0.3).astype(float), resamples=300, seed=i)
        held += e.low <= 0.3 <= e.high
        widths.append(e.high - e.low)
    assert 0.88 <= held / 200 <= 0.99
    assert np.mean(widths) == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 60) ** 0.5, rel=0.15)


def test_an_interval_is_the_same_every_time() -> None:
    scores = np.array([0.0, 1.0, 1.0, 0.5])
    assert estimate(scores, resamples=100, seed=3) == estimate(scores, resamples=100, seed=3)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_nothing_right_is_not_certainly_zero(count: int) -> None:
    """A rate at the bound gives no right answer among `count` with probability 0.025."""
    none, all_right = (estimate(np.full(count, value), resamples=100, seed=0) for value in (0.0, 1.0))
    assert (none.value, none.low) == (0.0, 0.0) and (1 - none.high) ** count == pytest.approx(0.025)
    assert (all_right.value, all_right.high) == (1.0, 1.0) and all_right.low**count == pytest.approx(0.025)
