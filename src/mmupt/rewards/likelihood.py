"""The likelihood of a response as its reward (EM-RL, arXiv 2505.15134): what the model says readily is taken for right.

The paper rewards the log-prob of the whole sequence; here it is the mean over its tokens, as a sum would reward
brevity before anything else. Either way repetition pays, and nothing asks whether the answer is right.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, Rollout, RolloutGroup


class Likelihood(Reward):
    """r_i = 1/T sum_t log p(token t), in nats, under the policy that sampled it, at the temperature it sampled with."""

    name = "likelihood"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers, self._reward, self._seed = answers, reward, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [
            GroupScore(
                tuple(mean_logprob(rollout) for rollout in group.rollouts),
                group_vote(group, self._answers, self._reward, seed=self._seed),
            )
            for group in groups
        ]


def mean_logprob(rollout: Rollout) -> float:
    """Nats a token; a rollout has one token or more."""
    return sum(rollout.logprobs) / len(rollout.logprobs)
