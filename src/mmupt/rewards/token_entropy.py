"""Low entropy as a reward (RENT, arXiv 2505.22660; EM-RL, arXiv 2505.15134): a policy sure of its next token is taken
for right. Repetition is the surest of all, and pays best."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.measures import token_means
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, RolloutGroup


class TokenEntropy(Reward):
    """r_i = -1/T sum_t H(p_t), in nats, under the policy of the moment, over the T tokens of response i."""

    name = "token_entropy"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [
            GroupScore(tuple(-h for h in entropies), group_vote(group, self._answers, self._reward, seed=self._seed))
            for group, entropies in zip(groups, token_means(groups, self._tools, "entropy"), strict=True)
        ]
