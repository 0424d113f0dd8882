"""Self-certainty (Intuitor, arXiv 2505.19590): how far the policy is, token by token, from not knowing at all.

Scored by the policy of the moment: the paper finds that a frozen scorer is gamed.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.measures import token_means
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, RolloutGroup


class SelfCertainty(Reward):
    """r_i = 1/T sum_t KL(uniform, p_t) = -1/(T V) sum_t sum_v log(V p_t(v)), in nats, over the V tokens the head knows
    and the T of response i."""

    name = "self_certainty"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [
            GroupScore(tuple(certainties), group_vote(group, self._answers, self._reward, seed=self._seed))
            for group, certainties in zip(groups, token_means(groups, self._tools, "certainty"), strict=True)
        ]
