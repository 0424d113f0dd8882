from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmupt.algo.advantage import group_advantage

REWARDS = [1.0, 0.0, 0.0, 1.0, 1.0, 0.25]


def test_std_is_the_definition() -> None:
    mean, std = statistics.mean(REWARDS), statistics.stdev(REWARDS)
    expected = [(r - mean) / (std + 1e-6) for r in REWARDS]
    assert group_advantage(torch.tensor(REWARDS), "std").tolist() == pytest.approx(expected, rel=1e-5)


def test_mean_is_the_definition() -> None:
    expected = [r - statistics.mean(REWARDS) for r in REWARDS]
    assert group_advantage(torch.tensor(REWARDS), "mean").tolist() == pytest.approx(expected, abs=1e-6)


def test_leave_one_out_compares_with_the_others() -> None:
    expected = [r - statistics.mean(REWARDS[:i] + REWARDS[i + 1 :]) for i, r in enumerate(REWARDS)]
    assert group_advantage(torch.tensor(REWARDS), "leave_one_out").tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["std", "mean", "leave_one_out"])
@given(value=st.floats(-1e3, 1e3, width=32), size=st.integers(2, 12))
def test_equal_rewards_carry_exactly_no_signal(kind: str, value: float, size: int) -> None:
    """Exactly: 0.1 + 0.1 + 0.1 over 3 is not 0.1 in floating point, and a group of these must still be skipped."""
    assert group_advantage(torch.full((size,), value), kind).tolist() == [0.0] * size  # type: ignore[arg-type]
