from __future__ import annotations

import itertools

import pytest

from mmupt.train.optimizer import learning_rate
from mmupt.train.settings import OptimizerSettings


def rates(total: int = 10, **settings: object) -> list[float]:
    chosen = OptimizerSettings.model_validate({"lr": 1.0, **settings})
    return [learning_rate(chosen, update, total) for update in range(total)]


def test_constant() -> None:
    assert rates() == [1.0] * 10


def test_warmup_reaches_the_peak_and_hands_over() -> None:
    assert rates(warmup_steps=4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_falls_in_equal_steps_to_its_last_fraction() -> None:
    falling = rates(schedule="linear", final_lr_fraction=0.5)
    assert falling[0] == 1.0
    assert [a - b for a, b in itertools.pairwise(falling)] == pytest.approx([0.05] * 9)
    assert learning_rate(OptimizerSettings(lr=1.0, schedule="linear", final_lr_fraction=0.5), 10, 10) == 0.5


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert rates(schedule="cosine")[5] == pytest.approx(0.5)
    assert rates(schedule="cosine") == sorted(rates(schedule="cosine"), reverse=True)
