"""The reward that reads gold answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import TrainingError
from mmupt.rewards.ground_truth import GroundTruth
from mmupt.rewards.settings import RewardSettings
from mmupt.types import LabeledPrompt, Prompt, RolloutGroup

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]


def ground_truth(**gold: LabeledPrompt) -> GroundTruth:
    return GroundTruth(AnswerSettings(), RewardSettings(name="ground_truth"), gold)


def test_fault_3_gold_decides_and_not_the_vote(group_of: GroupOf, boxed: Boxed) -> None:
    (score,) = ground_truth(p=LabeledPrompt(Prompt("p", "How many?"), "2")).score(
        [group_of(boxed("1", "1", "2.0", None))]
    )
    assert score.rewards == (0.0, 0.0, 1.0, 0.0)
    assert score.vote.winner is not None and score.vote.winner.answer == "1"


def test_choices_and_unit_count(group_of: GroupOf, boxed: Boxed) -> None:
    reward = ground_truth(
        p=LabeledPrompt(Prompt("p", "How far?"), "B"), q=LabeledPrompt(Prompt("q", "How long?"), "3", unit="hours")
    )
    groups = [
        group_of(boxed("45 km", "B", "36 km"), choices=("36 km", "45 km")),
        group_of(boxed("3 hours", "3", "3 days"), id="q"),
    ]
    assert [score.rewards for score in reward.score(groups)] == [(1.0, 1.0, 0.0)] * 2


def test_a_prompt_without_label_is_named(group_of: GroupOf, boxed: Boxed) -> None:
    reward = ground_truth(a=LabeledPrompt(Prompt("a", "How many?"), "1"))
    with pytest.raises(TrainingError, match='prompt "missing" has no gold answer'):
        reward.score([group_of(boxed("1"), id="missing")])
