"""Soft votes (EMPO, arXiv 2504.05812): an answer earns the share of the group that says the same. Nobody has to win, so
a tie teaches too, and a narrow majority less than a broad one."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import semantic_entropy
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup, Vote


class SoftVote(Reward):
    """r_i = |cluster of answer i| / G, 0 for one that cannot be read; all 0 where the quorum is missed.

    With `reward.entropy_band` only groups whose semantic entropy lies inside it, bounds included, are learned from: a
    group that agrees has nothing to learn, one that scatters nothing to teach.
    """

    name = "soft_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers, self._reward, self._seed = answers, reward, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        votes = [group_vote(group, self._answers, self._reward, seed=self._seed) for group in groups]
        return [GroupScore(self._shares(vote), vote, set_aside=self._outside(vote)) for vote in votes]

    def _shares(self, vote: Vote) -> tuple[float, ...]:
        if vote.num_answers < self._reward.quorum * vote.size:
            return (0.0,) * vote.size
        return cluster_shares(vote)

    def _outside(self, vote: Vote) -> str | None:
        band = self._reward.entropy_band
        if band is None or band[0] <= semantic_entropy(vote) <= band[1]:
            return None
        return "semantic entropy outside the band"


def cluster_shares(vote: Vote) -> tuple[float, ...]:
    """The share of the whole group that gives each answer, 0 for those that cannot be read."""
    shares = [0.0] * vote.size
    for cluster in vote.clusters:
        for i in cluster.members:
            shares[i] = len(cluster.members) / vote.size
    return tuple(shares)
