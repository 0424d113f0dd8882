"""What a step's groups say about themselves, without labels: the numbers of `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmupt.types import GroupScore, RolloutGroup, Vote


def semantic_entropy(vote: Vote) -> float:
    """H = -sum p log p over the clusters of the answers that could be read, in nats (the paper's diagnostic; semantic
    entropy after arXiv 2302.09664). 0.0 where all agree, and where nobody could be read."""
    if not vote.num_answers:
        return 0.0
    shares = [len(cluster.members) / vote.num_answers for cluster in vote.clusters]
    return -sum(p * math.log(p) for p in shares) + 0.0


def group_stats(groups: Sequence[RolloutGroup], scores: Sequence[GroupScore]) -> dict[str, float]:
    """Means over groups (share, entropy, ties, no signal) and over rollouts (reward, unreadable, truncated, length)."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = [reward for score in scores for reward in score.rewards]
    return {
        "reward": sum(rewards) / len(rewards),
        "share": sum(score.vote.share for score in scores) / len(scores),
        "semantic_entropy": sum(semantic_entropy(score.vote) for score in scores) / len(scores),
        "unreadable": 1.0 - sum(score.vote.num_answers for score in scores) / len(rollouts),
        "truncated": sum(rollout.stop == "length" for rollout in rollouts) / len(rollouts),
        "length": sum(len(rollout.token_ids) for rollout in rollouts) / len(rollouts),
        "ties": sum(score.vote.tie for score in scores) / len(scores),
        "zero_signal_groups": sum(len(set(score.rewards)) == 1 for score in scores) / len(scores),
    }
