"""The list of rewards: every name can be built, scores what it is given, and is handed a label only if it reads one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError
from mmupt.rewards.base import checked
from mmupt.rewards.registry import LABEL_FREE, LABELED, build_reward
from mmupt.rewards.settings import LABEL_FREE as NAMES
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import LabeledPrompt, RolloutGroup


class Forbidden(Mapping[str, LabeledPrompt]):
    """Labels that must not be looked at."""

    def __getitem__(self, key: str) -> NoReturn:
        raise AssertionError(f"the label of {key} was read")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("labels were read")

    def __len__(self) -> int:
        raise AssertionError("labels were counted")


def settings(name: str) -> RewardSettings:
    terms = [{"name": "soft_vote"}, {"name": "likelihood", "weight": 0.5}] if name == "combined" else []
    return RewardSettings.model_validate({"name": name, "terms": terms})


def test_the_list_of_names_is_the_list_of_rewards() -> None:
    assert tuple(LABEL_FREE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_label_free_reward_scores_a_step_without_looking_at_labels(
    make_tools: Callable[..., Tools], tiny_groups: Callable[[int], list[RolloutGroup]], name: str
) -> None:
    reward = build_reward(settings(name), AnswerSettings(), tools=make_tools(), seed=0, labels=Forbidden())
    assert reward.name == name
    groups = tiny_groups(0)
    groups = [*groups, *reward.companions(groups)]
    scores = reward.score(groups)
    for score, group in zip(scores, groups, strict=True):
        assert checked(score, group) is score
        assert score.vote.size == group.size
    reward.after_step()
    reward.freeze()
    reward.refresh()
    again = build_reward(settings(name), AnswerSettings(), tools=make_tools(), seed=0, labels=None)
    again.load_state(reward.state())
    again.load_tensors(reward.tensors())


def test_terms_of_a_combined_reward_vote_by_the_rules_of_the_whole(
    make_tools: Callable[..., Tools], group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    terms = [{"name": "majority_vote", "weight": 2.0}, {"name": "soft_vote"}]
    tied = group_of(boxed("1", "2"))
    for ties, expected in (("none", (0.0, 0.0)), ("first", (1.0, 0.0))):
        whole = RewardSettings.model_validate({"name": "combined", "terms": terms, "ties": ties})
        reward = build_reward(whole, AnswerSettings(), tools=make_tools(), seed=0, labels=None)
        (score,) = reward.score([tied])
        assert score.components["majority_vote"] == expected
        assert score.rewards == pytest.approx(
            [2 * (r - 0.5) * 2**0.5 if any(expected) else 0.0 for r in expected], abs=1e-5
        )


def test_ground_truth_needs_labels(make_tools: Callable[..., Tools]) -> None:
    assert tuple(LABELED) == ("ground_truth",)
    with pytest.raises(ConfigError, match='"ground_truth" reads gold answers'):
        build_reward(settings("ground_truth"), AnswerSettings(), tools=make_tools(), seed=0, labels=None)
    assert build_reward(settings("ground_truth"), AnswerSettings(), tools=make_tools(), seed=0, labels={})
