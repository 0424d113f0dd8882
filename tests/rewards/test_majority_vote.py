"""The majority vote, on groups without a model; among them the faults of the authors' code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import ValidationError

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.majority_vote import MajorityVote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]


def majority(**reward: object) -> MajorityVote:
    return MajorityVote(AnswerSettings(), RewardSettings(name="majority_vote", **reward), seed=0)  # type: ignore[arg-type]


def score(group: RolloutGroup, **reward: object) -> GroupScore:
    return majority(**reward).score([group])[0]


def test_the_majority_earns_one_and_everybody_else_nothing(group_of: GroupOf, boxed: Boxed) -> None:
    found = score(group_of(boxed("1/2", "3", "0.5", None, "3", "50%")))
    assert found.rewards == (1.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    assert found.vote.winner is not None and found.vote.winner.answer == "1/2"


def test_fault_1_a_group_of_failures_earns_nothing(group_of: GroupOf, boxed: Boxed) -> None:
    """In the authors' code "None" votes: here three failures neither win nor earn."""
    assert score(group_of(boxed(None, None, None, "7"))).rewards == (0.0, 0.0, 0.0, 1.0)
    assert score(group_of(boxed(None, None))).rewards == (0.0, 0.0)


def test_fault_2_the_reward_counts_what_answers_say(group_of: GroupOf, boxed: Boxed) -> None:
    """In the authors' code 60° and 60, "A" and "A. 60" split the vote that 70 then wins."""
    group = group_of(boxed(r"60^{\circ}", "60", "A", "A. 60", "70", "70", "B"), choices=("60", "70"))
    assert score(group).rewards == (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


def test_fault_3_prompts_never_mix(group_of: GroupOf, boxed: Boxed) -> None:
    """In the authors' code groups are slices of a batch. Here a group is scored alone: the order in which groups come,
    and what came before, changes nothing; and the order of the rollouts only reorders the rewards."""
    groups = [
        group_of(boxed("1", "1", "2"), id="a"),
        group_of(boxed("2", "2", "1"), id="b"),
        group_of(boxed("1", "3", "3"), id="c"),
    ]
    reward = majority()
    forwards = [found.rewards for found in reward.score(groups)]
    assert forwards == [(1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0)]
    assert forwards[::-1] == [found.rewards for found in reward.score(groups[::-1])]
    assert forwards == [reward.score([group])[0].rewards for group in groups]
    turned = replace(groups[0], rollouts=groups[0].rollouts[::-1])
    assert reward.score([turned])[0].rewards == forwards[0][::-1]


def test_fault_4_the_group_brings_its_own_size(group_of: GroupOf, boxed: Boxed) -> None:
    """In the authors' code the group size is written in two places. A reward takes it from the group."""
    groups = [group_of(boxed(*["5"] * size)) for size in (2, 3, 10)]
    assert [len(found.rewards) for found in majority().score(groups)] == [2, 3, 10]
    assert not {"group_size", "n", "size"} & set(RewardSettings.model_fields)
    with pytest.raises(ValidationError):
        RewardSettings(group_size=8)  # type: ignore[call-arg]


def test_ties_and_quorum(group_of: GroupOf, boxed: Boxed) -> None:
    tied = group_of(boxed("1", "2", "2", "1"))
    assert score(tied).rewards == (0.0,) * 4
    assert score(tied, ties="first").rewards == (1.0, 0.0, 0.0, 1.0)
    few = group_of(boxed("1", None, None, None))
    assert score(few, quorum=0.5).rewards == (0.0,) * 4
    assert score(few, quorum=0.25).rewards == (1.0, 0.0, 0.0, 0.0)


def test_a_random_tie_depends_on_seed_prompt_and_visit_only(group_of: GroupOf, boxed: Boxed) -> None:
    groups = [group_of(boxed("1", "2"), visit=v) for v in range(30)]
    visits = [found.rewards for found in majority(ties="random").score(groups)]
    assert set(visits) == {(1.0, 0.0), (0.0, 1.0)}
    assert visits == [score(group, ties="random").rewards for group in groups]


@pytest.mark.parametrize("seed", range(20))
def test_against_counting(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    found = score(random_group(seed))
    said = [None if a is None else float(a) for a in found.vote.answers]
    counts = {a: said.count(a) for a in said if a is not None}
    best = [a for a, n in counts.items() if n == max(counts.values())]
    winner = best[0] if len(best) == 1 else None
    assert found.rewards == tuple(float(a is not None and a == winner) for a in said)
