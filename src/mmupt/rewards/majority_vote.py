"""The majority-vote reward of MM-UPT (arXiv 2505.22453): 1 for an answer that is the group's majority answer, else 0.

Departures from the authors' code: an answer that cannot be read never votes and earns 0; answers are counted by what
they say, not by their spelling; a tie has no winner unless `reward.ties` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup, Vote


class MajorityVote(Reward):
    """r_i = 1 if answer i lies in the winning cluster of its own group, else 0; all 0 where nobody wins."""

    name = "majority_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers = answers
        self._reward = reward
        self._seed = seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        votes = [group_vote(group, self._answers, self._reward, seed=self._seed) for group in groups]
        return [GroupScore(agreement(vote), vote) for vote in votes]


def agreement(vote: Vote) -> tuple[float, ...]:
    """1 for the members of the winning cluster, 0 for everybody else."""
    winners = frozenset(vote.winner.members) if vote.winner else frozenset()
    return tuple(1.0 if i in winners else 0.0 for i in range(vote.size))
