"""The majority-vote reward of MM-UPT (arXiv 2505.22453): 1 for an answer that is the group's majority answer, else 0.

Departures from the authors' code: an answer that cannot be read never votes and earns 0; answers are counted by what
they say, not by their spelling; a tie has no winner unless `reward.ties` says so.
"""

from __future__ import annotations

import hashlib

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.rewards.base import checked, read_answers
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup


class MajorityVote:
    """r_i = 1 if answer i lies in the winning cluster of its own group, else 0; all 0 where nobody wins."""

    name = "majority_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers = answers
        self._reward = reward
        self._seed = seed

    def score(self, group: RolloutGroup) -> GroupScore:
        result = vote(
            read_answers(group, self._answers),
            choices=group.prompt.choices,
            tolerance=self._answers.tolerance,
            ties=self._reward.ties,
            quorum=self._reward.quorum,
            seed=tie_seed(self._seed, group.prompt.id, group.visit),
        )
        winners = frozenset(result.winner.members) if result.winner else frozenset()
        rewards = tuple(1.0 if i in winners else 0.0 for i in range(group.size))
        return checked(GroupScore(rewards=rewards, vote=result), group)


def tie_seed(seed: int, prompt_id: str, visit: int) -> int:
    """What breaks a random tie: a 64-bit hash of run seed, prompt and visit, so that resuming draws the same."""
    digest = hashlib.sha256(f"{seed}\0{visit}\0{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
