"""What all rewards share: how answers are read, and which scores are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.errors import TrainingError
from mmupt.rewards.base import checked, read_answers
from mmupt.types import GroupScore, Rollout, RolloutGroup


def test_a_truncated_rollout_with_a_closed_box_counts(group_of: Callable[..., RolloutGroup]) -> None:
    rollout = Rollout(token_ids=(1,), logprobs=(0.0,), text=r"\boxed{5} and also", stop="length")
    assert read_answers(replace(group_of([]), rollouts=(rollout,)), AnswerSettings()) == ("5",)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (GroupScore((1.0,), vote(["1"])), "1 rewards for 2 rollouts"),
        (GroupScore((1.0, 0.0, 0.0), vote(["1"])), "3 rewards for 2 rollouts"),
        (GroupScore((1.0, float("nan")), vote(["1"])), "rewards of rollout 1 is nan"),
        (GroupScore((float("inf"), 0.0), vote(["1"])), "rewards of rollout 0 is inf"),
        (GroupScore((1.0, 0.0), vote(["1"]), {"novelty": (1.0,)}), "1 novelty for 2 rollouts"),
        (GroupScore((1.0, 0.0), vote(["1"]), {"novelty": (1.0, float("nan"))}), "novelty of rollout 1 is nan"),
        (GroupScore((1.0, 0.0), vote(["1"]), advantages=(1.0,)), "1 advantages for 2 rollouts"),
        (GroupScore((1.0, 0.0), vote(["1"]), advantages=(1.0, -float("inf"))), "advantages of rollout 1 is -inf"),
    ],
)
def test_a_score_that_does_not_fit_is_refused(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]], score: GroupScore, message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        checked(score, group_of(boxed("1", "1"), id="world-7", visit=3))
    assert 'prompt "world-7" (visit 3)' in str(caught.value)


def test_a_score_that_fits_is_handed_on(group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]) -> None:
    score = GroupScore((1.0, 0.0), vote(["1"]), {"novelty": (0.0, 1.0)}, advantages=(0.5, -0.5))
    assert checked(score, group_of(boxed("1", "1"))) is score
