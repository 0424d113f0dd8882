"""A vote weighed by the policy's own judgement, within bounds (arXiv 2603.21289): the share of the own answer times a
factor in `reward.judge_range`, by default [0.8, 1.2], that says how right the policy holds that answer to be when it is
asked. Where the group is nearly of one mind (a majority share above `reward.certain_share`) nobody is asked and the
majority takes all.

The bounds keep the judge, which learns with the policy, from overruling the vote: an answer can pass another only where
their shares are within a factor of high / low.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.judging import p_yes
from mmupt.rewards.majority_vote import agreement
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, RolloutGroup, Vote


class SelfJudge(Reward):
    """r_i = share(a_i) (low + (high - low) P(yes | question, a_i)), P by the policy of this moment, once a cluster of
    answers; the hard majority vote where it is certain. 0 for what cannot be read, and for all under the quorum.

    The component `judge` is the factor (0 where there is none: unreadable answers, and groups that are certain).
    """

    name = "self_judge"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        votes = [group_vote(group, self._answers, self._reward, seed=self._seed) for group in groups]
        heard = [self._is_open(vote) for vote in votes]
        asked = [
            (group.prompt, cluster.answer)
            for group, vote, judge in zip(groups, votes, heard, strict=True)
            if judge
            for cluster in vote.clusters
        ]
        sure = iter(p_yes(asked, self._reward.judge_prompt, self._tools))
        return [
            self._judged(vote, [next(sure) for _ in vote.clusters]) if judge else self._hard(vote)
            for vote, judge in zip(votes, heard, strict=True)
        ]

    def _is_open(self, vote: Vote) -> bool:
        """Whether the judge is heard at all."""
        counts = vote.num_answers > 0 and vote.num_answers >= self._reward.quorum * vote.size
        certain = vote.winner is not None and vote.share > self._reward.certain_share
        return counts and not certain

    def _judged(self, vote: Vote, sure_of: Sequence[float]) -> GroupScore:
        low, high = self._reward.judge_range
        rewards, factors = [0.0] * vote.size, [0.0] * vote.size
        for cluster, sure in zip(vote.clusters, sure_of, strict=True):
            for i in cluster.members:
                factors[i] = low + (high - low) * sure
                rewards[i] = len(cluster.members) / vote.size * factors[i]
        return GroupScore(tuple(rewards), vote, {"judge": tuple(factors)})

    def _hard(self, vote: Vote) -> GroupScore:
        """What is certain, and, with all zeros, what has no vote."""
        return GroupScore(agreement(vote), vote, {"judge": (0.0,) * vote.size})
