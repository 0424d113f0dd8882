"""The coin: fair, counted, and blind to what was answered."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.random_reward import RandomReward
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.seeds import derive_seed
from mmupt.types import RolloutGroup


def coin(seed: int = 0) -> RandomReward:
    return RandomReward(AnswerSettings(), RewardSettings(name="random"), seed=seed)


def test_it_is_the_named_draw(group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]) -> None:
    (score,) = coin(3).score([group_of(boxed(*"12345678"), id="q", visit=2)])
    assert score.rewards == tuple(float(derive_seed(3, "random reward", "q", 2, i) % 2) for i in range(8))
    assert set(score.rewards) == {0.0, 1.0}


def test_it_is_fair_and_draws_are_independent(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    """Of 4000 draws half are 1, and half agree with the neighbour in prompt, visit, place or seed, give or take five
    standard deviations."""
    groups = [group_of(boxed(*"11111111"), id=f"p{k}", visit=v) for k, v in product(range(50), range(10))]

    def draws(seed: int) -> np.ndarray:
        return np.array([score.rewards for score in coin(seed).score(groups)]).reshape(50, 10, 8)

    draws_KVG = draws(0)
    assert abs(draws_KVG.mean() - 0.5) < 0.04
    for axis in range(3):
        assert abs((np.diff(draws_KVG, axis=axis) == 0).mean() - 0.5) < 0.045
    assert abs((draws_KVG == draws(1)).mean() - 0.5) < 0.04


def test_answers_and_neighbours_play_no_part(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    first, second = group_of(boxed("1", "1", "2")), group_of(boxed("2", None, "7"))
    other = group_of(boxed("1", "2"), id="other")
    (alone,) = coin().score([first])
    assert coin().score([other, second])[1].rewards == alone.rewards
    assert coin().score([second])[0].vote != alone.vote, "the vote is the group's own"
