"""The label-free numbers of a step, on groups worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from mmupt.answers.vote import vote
from mmupt.train.group_stats import group_stats
from mmupt.types import EncodedPrompt, GroupScore, Prompt, Rollout, RolloutGroup

ENCODED = EncodedPrompt(torch.tensor([1]), torch.zeros(3, 1, dtype=torch.long), 1, {})


def scored(answers: Sequence[str | None], rewards: Sequence[float]) -> tuple[RolloutGroup, GroupScore]:
    """Unreadable rollouts are those that were cut off, three tokens long; the others have two."""
    rollouts = tuple(
        Rollout((1, 2, 3), (0.0,) * 3, "", "length") if a is None else Rollout((1, 2), (0.0,) * 2, "", "end")
        for a in answers
    )
    return RolloutGroup(Prompt("p", "?"), ENCODED, rollouts), GroupScore(tuple(rewards), vote(answers))


def test_by_hand() -> None:
    first = scored(["3", "3.0", None, "4"], [1, 1, 0, 0])  # share 1/2, entropy of (2/3, 1/3)
    second = scored(["7", "7", "7", "7"], [1, 1, 1, 1])  # unanimous: no entropy, no signal
    third = scored(["1", "2", None, None], [0, 0, 0, 0])  # a tie of one against one
    groups, scores = zip(first, second, third, strict=True)
    stats = group_stats(groups, scores)
    h = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert stats == pytest.approx(
        {
            "reward": 6 / 12,
            "share": (0.5 + 1.0 + 0.25) / 3,
            "semantic_entropy": (h + 0.0 + math.log(2)) / 3,
            "unreadable": 3 / 12,
            "truncated": 3 / 12,
            "length": (9 * 2 + 3 * 3) / 12,
            "ties": 1 / 3,
            "zero_signal_groups": 2 / 3,
        }
    )
