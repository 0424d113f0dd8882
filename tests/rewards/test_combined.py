"""Several rewards at once: the sum by hand and against a slow one, who scores what, and what is passed on."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.errors import ConfigError, TrainingError
from mmupt.rewards.base import Reward, checked
from mmupt.rewards.combined import Combined
from mmupt.rewards.likelihood import Likelihood
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.soft_vote import SoftVote
from mmupt.types import GroupScore, Role, RolloutGroup

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]


class Fixed(Reward):
    """Gives every group the same rewards, and remembers what it was told and shown."""

    name = "fixed"

    def __init__(self, *rewards: float, set_aside: str | None = None, components: Any = None) -> None:
        self.rewards, self.set_aside, self.components = rewards, set_aside, components or {}
        self.told: list[str] = []
        self.shown: list[tuple[str, Role]] = []
        self.kept: Mapping[str, Any] = {}
        self.held: dict[str, Tensor] = {}

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        self.shown = [(group.prompt.id, group.role) for group in groups]
        answers = vote([None] * len(self.rewards))
        return [GroupScore(self.rewards, answers, self.components, set_aside=self.set_aside) for _ in groups]

    def after_step(self) -> None:
        self.told.append("after_step")

    def freeze(self) -> None:
        self.told.append("freeze")

    def refresh(self) -> None:
        self.told.append("refresh")

    def state(self) -> dict[str, Any]:
        return dict(self.kept)

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.kept = state

    def tensors(self) -> dict[str, Tensor]:
        return self.held

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.held = dict(tensors)


class Asking(Fixed):
    """Has one more group sampled for each it sees."""

    name = "asking"
    role: Role = "view"

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        return [replace(group, role=self.role) for group in groups]


class AlsoAsking(Asking):
    name = "also asking"


def test_by_hand(group_of: GroupOf, boxed: Boxed) -> None:
    """(1, 0, 0, 1) becomes ±1/2 over a deviation of sqrt(1/3), so ±0.866; (0, 0, 0, 8) becomes -0.5 thrice and 1.5."""
    reward = Combined([(1.0, Fixed(1, 0, 0, 1)), (2.0, Fixed(0, 0, 0, 8))])
    (score,) = reward.score([group_of(boxed(*"1234"))])
    assert score.rewards == pytest.approx((0.8660 - 1, -0.8660 - 1, -0.8660 - 1, 0.8660 + 3), abs=1e-4)
    assert score.advantages == score.rewards, "already normalised: nothing is to be normalised again"
    assert score.components == {"fixed": (1, 0, 0, 1), "fixed 2": (0, 0, 0, 8)}


def test_a_term_that_says_the_same_of_all_adds_exactly_nothing(group_of: GroupOf, boxed: Boxed) -> None:
    group = group_of(boxed(*"123"))
    with_constant = Combined([(1.0, Fixed(0.1, 0.1, 0.1)), (1.0, Fixed(1, 2, 4))]).score([group])[0]
    assert with_constant.rewards == Combined([(1.0, Fixed(1, 2, 4))]).score([group])[0].rewards
    assert Combined([(1.0, Fixed(0.1, 0.1, 0.1)), (3.0, Fixed(7, 7, 7))]).score([group])[0].rewards == (0.0,) * 3


def test_scale_and_offset_of_a_term_do_not_matter(group_of: GroupOf, boxed: Boxed) -> None:
    group = group_of(boxed(*"123"))
    small = Combined([(1.0, Fixed(1, 2, 4)), (0.5, Fixed(5, 1, 1))]).score([group])[0]
    large = Combined([(1.0, Fixed(1001, 2001, 4001)), (0.5, Fixed(5, 1, 1))]).score([group])[0]
    assert small.rewards == pytest.approx(large.rewards, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_against_a_slow_sum(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    answers, group = AnswerSettings(), random_group(seed)
    terms: list[tuple[float, Reward]] = [
        (1.0, SoftVote(answers, RewardSettings(name="soft_vote"), seed=0)),
        (0.3, Likelihood(answers, RewardSettings(name="likelihood"), seed=0)),
    ]
    (found,) = Combined(terms).score([group])
    expected = [0.0] * group.size
    for weight, term in terms:
        raw = term.score([group])[0].rewards
        assert found.components[term.name] == raw
        for i, value in enumerate(raw):
            if len(set(raw)) > 1:
                expected[i] += weight * (value - statistics.mean(raw)) / (statistics.stdev(raw) + 1e-6)
    assert found.rewards == pytest.approx(expected)
    assert found.vote == terms[0][1].score([group])[0].vote
    assert sum(found.rewards) == pytest.approx(0.0, abs=1e-9)

    order = random.Random(seed).sample(range(group.size), group.size)
    turned = replace(group, rollouts=tuple(group.rollouts[i] for i in order))
    assert Combined(terms).score([turned])[0].rewards == pytest.approx([found.rewards[i] for i in order])


def test_what_a_term_sets_aside_is_set_aside(group_of: GroupOf, boxed: Boxed) -> None:
    group = group_of(boxed(*"12"))
    assert Combined([(1.0, Fixed(1, 0)), (1.0, Fixed(1, 0))]).score([group])[0].set_aside is None
    for terms in ([Fixed(1, 0), Fixed(1, 0, set_aside="why")], [Fixed(1, 0, set_aside="why"), Fixed(1, 0)]):
        assert Combined([(1.0, term) for term in terms]).score([group])[0].set_aside == "why"


def test_components_of_terms_are_kept(group_of: GroupOf, boxed: Boxed) -> None:
    """Selection looks at `teacher_share`. Raw rewards go before, and the first term before the second."""
    first = Fixed(1, 0, components={"teacher_share": (0.5, 0.5)})
    second = Fixed(2, 0, components={"teacher_share": (0.1, 0.1), "fixed": (9.0, 9.0)})
    (score,) = Combined([(1.0, first), (1.0, second)]).score([group_of(boxed(*"12"))])
    assert score.components == {"fixed": (1, 0), "fixed 2": (2, 0), "teacher_share": (0.5, 0.5)}


def test_a_group_sampled_for_a_term_is_scored_by_that_term_alone(group_of: GroupOf, boxed: Boxed) -> None:
    plain, asking = Fixed(0, 1), Asking(1, 0)
    reward = Combined([(1.0, plain), (2.0, asking)])
    groups = [group_of(boxed(*"12"), id="a"), group_of(boxed(*"12"), id="b")]
    beside = reward.companions(groups)
    assert [group.role for group in beside] == ["view", "view"]
    scores = reward.score([groups[0], beside[0], groups[1], beside[1]])
    assert plain.shown == [("a", "answer"), ("b", "answer")]
    assert asking.shown == [("a", "answer"), ("a", "view"), ("b", "answer"), ("b", "view")]
    one = 0.5 / (0.5**0.5 + 1e-6)
    assert [r for score in scores for r in score.rewards] == pytest.approx([one, -one, 2 * one, -2 * one] * 2)
    assert [set(score.components) for score in scores] == [{"fixed", "asking"}, {"asking"}] * 2


def test_a_group_that_nobody_asked_for_is_refused(group_of: GroupOf, boxed: Boxed) -> None:
    reward = Combined([(1.0, Fixed(0, 1)), (1.0, Asking(0, 1))])
    with pytest.raises(TrainingError, match=r'prompt "p".*no term .* asked for .* role of a verification'):
        reward.score([group_of(boxed(*"12"), role="verification")])


def test_two_terms_cannot_sample_groups_of_one_role(group_of: GroupOf, boxed: Boxed) -> None:
    with pytest.raises(ConfigError, match='"asking" more than once'):
        Combined([(1.0, Asking(0, 1)), (1.0, Asking(0, 1))])
    Combined([(1.0, Fixed(0, 1)), (1.0, Fixed(0, 1))])
    with pytest.raises(ConfigError, match='"asking" and "also asking" both sample groups in the role of a view'):
        Combined([(1.0, Asking(0, 1)), (1.0, AlsoAsking(0, 1))]).companions([group_of(boxed(*"12"))])


def test_one_that_is_not_finite_is_told_with_its_prompt_and_rollout(group_of: GroupOf, boxed: Boxed) -> None:
    reward = Combined([(1.0, Fixed(0, 1, 2)), (1.0, Fixed(0, float("nan"), 1))])
    group = group_of(boxed(*"123"), id="world-7")
    with pytest.raises(TrainingError, match=r'prompt "world-7".*rewards of rollout 1 is nan'):
        checked(reward.score([group])[0], group)


def test_what_it_is_told_it_passes_on() -> None:
    terms = [Fixed(0, 1), Fixed(0, 1)]
    reward = Combined([(1.0, term) for term in terms])
    reward.after_step()
    reward.freeze()
    reward.refresh()
    assert [term.told for term in terms] == [["after_step", "freeze", "refresh"]] * 2


def test_state_and_tensors_come_back_to_the_term_they_came_from() -> None:
    first, second, third = Fixed(0, 1), Asking(0, 1), Fixed(0, 1)
    first.kept, third.kept = {"a": 1}, {"a": 2}
    second.held, third.held = {"w/x": torch.ones(2)}, {"w/x": torch.zeros(3)}
    reward = Combined([(1.0, first), (1.0, second), (1.0, third)])
    again = [Fixed(0, 1), Asking(0, 1), Fixed(0, 1)]
    copy = Combined([(1.0, term) for term in again])
    copy.load_state(reward.state())
    copy.load_tensors(reward.tensors())
    assert [term.kept for term in again] == [{"a": 1}, {}, {"a": 2}]
    assert again[0].held == {}
    assert torch.equal(again[1].held["w/x"], torch.ones(2)) and torch.equal(again[2].held["w/x"], torch.zeros(3))
