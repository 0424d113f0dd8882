"""What a step's groups say about themselves, without labels: the numbers of `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.vote import semantic_entropy
from mmupt.types import GroupScore, RolloutGroup


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
