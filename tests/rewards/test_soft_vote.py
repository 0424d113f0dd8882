"""Soft votes: by hand, against counting pair by pair, and the band."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from mmupt.answers.equivalence import same
from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.soft_vote import SoftVote
from mmupt.types import GroupScore, RolloutGroup

ANSWERS = AnswerSettings()


def score(group: RolloutGroup, **reward: object) -> GroupScore:
    settings = RewardSettings(name="soft_vote", **reward)  # type: ignore[arg-type]
    return SoftVote(ANSWERS, settings, seed=0).score([group])[0]


def test_by_hand(group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]) -> None:
    """Three of six say a half, two say 3, one says nothing and is paid nothing, yet counts among the six."""
    found = score(group_of(boxed("1/2", "3", "0.5", None, "3", "50%")))
    assert found.rewards == (3 / 6, 2 / 6, 3 / 6, 0.0, 2 / 6, 3 / 6)
    assert found.vote.winner is not None and found.vote.winner.answer == "1/2"
    assert found.advantages is None and found.set_aside is None


def test_a_tie_pays_both_and_failures_pay_nobody(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    assert score(group_of(boxed("1", "2", "2", "1"))).rewards == (0.5,) * 4
    assert score(group_of(boxed(None, None, None, "7"))).rewards == (0.0, 0.0, 0.0, 0.25)
    assert score(group_of(boxed(None, None))).rewards == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_against_counting_pairs(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    group = random_group(seed)
    found = score(group)
    answers = found.vote.answers
    for i, a in enumerate(answers):
        agreeing = sum(a is not None and b is not None and same(a, b) for b in answers)
        assert found.rewards[i] == agreeing / group.size


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rollouts_only_reorders_rewards(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    group = random_group(seed)
    order = random.Random(seed).sample(range(group.size), group.size)
    turned = replace(group, rollouts=tuple(group.rollouts[i] for i in order))
    assert score(turned).rewards == tuple(score(group).rewards[i] for i in order)


def test_groups_do_not_see_each_other(random_group: Callable[[int], RolloutGroup]) -> None:
    groups = [random_group(seed) for seed in range(5)]
    reward = SoftVote(ANSWERS, RewardSettings(name="soft_vote"), seed=0)
    assert reward.score(groups) == [score(group) for group in groups]
    assert reward.score(groups[::-1]) == reward.score(groups)[::-1]


def test_below_the_quorum_nobody_is_paid(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    few = group_of(boxed("1", None, None, None))
    assert score(few, quorum=0.5).rewards == (0.0,) * 4
    assert score(few, quorum=0.25).rewards == (0.25, 0.0, 0.0, 0.0)


def test_only_groups_inside_the_band_are_learned_from(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    unanimous, halved, scattered = (group_of(boxed(*answers)) for answers in ("1111", "1122", "1234"))
    aside = "semantic entropy outside the band"
    band = (0.1, 1.0)
    assert [score(g, entropy_band=band).set_aside for g in (unanimous, halved, scattered)] == [aside, None, aside]
    assert score(unanimous, entropy_band=band).rewards == (1.0,) * 4, "rewards are told all the same"
    entropy = -2 * 0.5 * math.log(0.5)
    assert score(halved, entropy_band=(entropy, 1.0)).set_aside is None, "bounds belong to the band"
    assert score(halved, entropy_band=(entropy + 1e-9, 1.0)).set_aside == aside
