"""How right the outcome of a vote is, once the gold answer is known."""

from __future__ import annotations

from collections.abc import Callable

from mmupt.types import Vote


def majority_correct(vote: Vote, right: Callable[[str], bool], *, quorum: float = 0.0) -> float:
    """In [0, 1]: whether the winner of `vote` is right; in a tie without a winner the share of tied clusters that are.

    A cluster is right when `right(cluster.answer)`, its shown answer, is. Where nobody could be read, or less than
    `quorum` of the group (the quorum `vote` was taken with), nobody wins: 0. A `Vote` alone does not tell a tie
    without a winner from a tie below the quorum, therefore the argument.

    Answers "3", "3", "4", "4", "5" with gold 3: clusters 3 and 4 are tied, one of the two is right, 0.5.
    """
    if not vote.clusters or vote.num_answers / vote.size < quorum:
        return 0.0
    if vote.winner is not None:
        return float(right(vote.winner.answer))
    tied = [c for c in vote.clusters if len(c.members) == len(vote.clusters[0].members)]
    return sum(right(c.answer) for c in tied) / len(tied)
