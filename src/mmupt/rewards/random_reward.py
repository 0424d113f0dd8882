"""A coin for a reward: the control that every claim of a gain must survive (arXiv 2506.10947)."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.seeds import derive_seed
from mmupt.types import GroupScore, RolloutGroup


class RandomReward(Reward):
    """r_i is 0 or 1 with probability 1/2, drawn from (seed, prompt id, visit, i): what was answered plays no part, nor
    does what else is in the step. The vote is filled in for metrics only."""

    name = "random"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers, self._reward, self._seed = answers, reward, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [
            GroupScore(
                tuple(self._coin(group, i) for i in range(group.size)),
                group_vote(group, self._answers, self._reward, seed=self._seed),
            )
            for group in groups
        ]

    def _coin(self, group: RolloutGroup, i: int) -> float:
        return float(derive_seed(self._seed, "random reward", group.prompt.id, group.visit, i) % 2)
