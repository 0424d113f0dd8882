"""The likelihood of a response: by hand, and what happens to one that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import TrainingError
from mmupt.rewards.base import checked
from mmupt.rewards.likelihood import Likelihood
from mmupt.rewards.settings import RewardSettings
from mmupt.types import RolloutGroup

REWARD = Likelihood(AnswerSettings(), RewardSettings(name="likelihood"), seed=0)


def test_by_hand(group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]) -> None:
    """A mean, not a sum: three tokens of -1 are as likely as one."""
    group = group_of(boxed("1", "2", "1"), logprobs=[(-1.0, -1.0, -1.0), (-1.0,), (-0.5, 0.0)])
    (score,) = REWARD.score([group])
    assert score.rewards == (-1.0, -1.0, -0.25)
    assert score.vote.winner is not None and score.vote.winner.members == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_geometric_mean_of_probabilities(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    group = random_group(seed)
    (score,) = REWARD.score([group])
    for reward, rollout in zip(score.rewards, group.rollouts, strict=True):
        product = math.prod(math.exp(p) for p in rollout.logprobs)
        assert math.exp(reward) == pytest.approx(product ** (1 / len(rollout.token_ids)))
    turned = replace(group, rollouts=group.rollouts[::-1])
    assert REWARD.score([turned])[0].rewards == score.rewards[::-1]


def test_one_that_is_not_finite_is_refused_with_its_prompt(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    group = group_of(boxed("1", "2"), id="world-7", logprobs=[(-1.0,), (-1.0, float("-inf"))])
    with pytest.raises(TrainingError, match=r'prompt "world-7".*rewards of rollout 1 is -inf'):
        checked(REWARD.score([group])[0], group)
