"""The rewards, on groups without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from pydantic import ValidationError

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.errors import ConfigError, TrainingError
from mmupt.rewards import LABEL_FREE, LABELED, build_reward
from mmupt.rewards.base import checked, read_answers
from mmupt.rewards.ground_truth import GroundTruth
from mmupt.rewards.majority_vote import MajorityVote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import EncodedPrompt, GroupScore, LabeledPrompt, Prompt, Rollout, RolloutGroup

ANSWERS = AnswerSettings()
NO_TENSORS = cast(EncodedPrompt, None)  # no reward looks at tensors


def group_of(
    responses: Sequence[str], *, id: str = "p", choices: tuple[str, ...] | None = None, visit: int = 0
) -> RolloutGroup:
    rollouts = tuple(Rollout(token_ids=(1,), logprobs=(0.0,), text=text, stop="end") for text in responses)
    return RolloutGroup(
        prompt=Prompt(id, "How many?", choices=choices), encoded=NO_TENSORS, rollouts=rollouts, visit=visit
    )


def boxed(*answers: str | None) -> list[str]:
    return ["no answer" if a is None else rf"so \boxed{{{a}}}" for a in answers]


def majority(**reward: object) -> MajorityVote:
    return MajorityVote(ANSWERS, RewardSettings(**reward), seed=0)  # type: ignore[arg-type]


def labels(**gold: str) -> dict[str, LabeledPrompt]:
    return {id: LabeledPrompt(Prompt(id, "How many?"), answer) for id, answer in gold.items()}


def test_the_majority_earns_one_and_everybody_else_nothing() -> None:
    score = majority().score(group_of(boxed("1/2", "3", "0.5", None, "3", "50%")))
    assert score.rewards == (1.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    assert score.vote.winner is not None and score.vote.winner.answer == "1/2"


def test_fault_1_a_group_of_failures_earns_nothing() -> None:
    """In the authors' code "None" votes: here three failures neither win nor earn."""
    assert majority().score(group_of(boxed(None, None, None, "7"))).rewards == (0.0, 0.0, 0.0, 1.0)
    assert majority().score(group_of(boxed(None, None))).rewards == (0.0, 0.0)


def test_fault_2_the_reward_counts_what_answers_say() -> None:
    """In the authors' code 60° and 60, "A" and "A. 60" split the vote that 70 then wins."""
    group = group_of(boxed(r"60^{\circ}", "60", "A", "A. 60", "70", "70", "B"), choices=("60", "70"))
    assert majority().score(group).rewards == (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


def test_fault_3_prompts_never_mix() -> None:
    """In the authors' code groups are slices of a batch. Here a group is scored alone: the order in which groups come,
    and what came before, changes nothing; and the order of the rollouts only reorders the rewards."""
    groups = [
        group_of(boxed("1", "1", "2"), id="a"),
        group_of(boxed("2", "2", "1"), id="b"),
        group_of(boxed("1", "3", "3"), id="c"),
    ]
    reward = majority()
    forwards = {g.prompt.id: reward.score(g).rewards for g in groups}
    assert forwards == {g.prompt.id: reward.score(g).rewards for g in reversed(groups)}
    assert forwards == {"a": (1.0, 1.0, 0.0), "b": (1.0, 1.0, 0.0), "c": (0.0, 1.0, 1.0)}
    turned = replace(groups[0], rollouts=groups[0].rollouts[::-1])
    assert reward.score(turned).rewards == forwards["a"][::-1]


def test_fault_3_validation_uses_gold_and_not_the_vote() -> None:
    reward = GroundTruth(ANSWERS, RewardSettings(name="ground_truth"), labels(p="2"))
    score = reward.score(group_of(boxed("1", "1", "2.0", None)))
    assert score.rewards == (0.0, 0.0, 1.0, 0.0)
    assert score.vote.winner is not None and score.vote.winner.answer == "1"


def test_fault_4_the_group_brings_its_own_size() -> None:
    """In the authors' code the group size is written in two places. A reward takes it from the group."""
    reward = majority()
    assert [len(reward.score(group_of(boxed(*["5"] * size))).rewards) for size in (2, 3, 10)] == [2, 3, 10]
    assert not {"group_size", "n", "size"} & set(RewardSettings.model_fields)
    with pytest.raises(ValidationError):
        RewardSettings(group_size=8)  # type: ignore[call-arg]


def test_ties_and_quorum() -> None:
    tied = group_of(boxed("1", "2", "2", "1"))
    assert majority().score(tied).rewards == (0.0,) * 4
    assert majority(ties="first").score(tied).rewards == (1.0, 0.0, 0.0, 1.0)
    few = group_of(boxed("1", None, None, None))
    assert majority(quorum=0.5).score(few).rewards == (0.0,) * 4
    assert majority(quorum=0.25).score(few).rewards == (1.0, 0.0, 0.0, 0.0)


def test_a_random_tie_depends_on_seed_prompt_and_visit_only() -> None:
    responses = boxed("1", "2")
    reward = majority(ties="random")
    visits = [reward.score(group_of(responses, visit=v)).rewards for v in range(30)]
    assert set(visits) == {(1.0, 0.0), (0.0, 1.0)}
    assert visits == [majority(ties="random").score(group_of(responses, visit=v)).rewards for v in range(30)]


def test_a_truncated_rollout_with_a_closed_box_counts() -> None:
    rollout = Rollout(token_ids=(1,), logprobs=(0.0,), text=r"\boxed{5} and also", stop="length")
    group = replace(group_of([]), rollouts=(rollout,))
    assert read_answers(group, ANSWERS) == ("5",)


def test_ground_truth_uses_choices_and_unit() -> None:
    gold = {
        "p": LabeledPrompt(Prompt("p", "How far?"), "B"),
        "q": LabeledPrompt(Prompt("q", "How long?"), "3", unit="hours"),
    }
    reward = GroundTruth(ANSWERS, RewardSettings(name="ground_truth"), gold)
    assert reward.score(group_of(boxed("45 km", "B", "36 km"), choices=("36 km", "45 km"))).rewards == (1.0, 1.0, 0.0)
    assert reward.score(group_of(boxed("3 hours", "3", "3 days"), id="q")).rewards == (1.0, 1.0, 0.0)


def test_a_prompt_without_label_is_named() -> None:
    reward = GroundTruth(ANSWERS, RewardSettings(name="ground_truth"), labels(a="1"))
    with pytest.raises(TrainingError, match='prompt "missing" has no gold answer'):
        reward.score(group_of(boxed("1"), id="missing"))


def test_every_named_reward_can_be_built() -> None:
    for name in [*LABEL_FREE, *LABELED]:
        settings = RewardSettings(name=name)  # type: ignore[arg-type]
        reward = build_reward(settings, ANSWERS, seed=0, labels=labels(p="1"))
        assert reward.name == name
        assert reward.score(group_of(boxed("1", "1", "2"))).rewards == (1.0, 1.0, 0.0)


def test_a_label_free_reward_is_blind_to_labels() -> None:
    group = group_of(boxed("1", "1", "2"))
    built = [
        build_reward(RewardSettings(), ANSWERS, seed=3, labels=given) for given in (None, labels(p="1"), labels(p="2"))
    ]
    assert len({reward.score(group).rewards for reward in built}) == 1
    assert all(not any(isinstance(v, dict) for v in vars(reward).values()) for reward in built)


def test_ground_truth_without_labels_is_a_configuration_mistake() -> None:
    with pytest.raises(ConfigError, match='"ground_truth" reads gold answers'):
        build_reward(RewardSettings(name="ground_truth"), ANSWERS, seed=0, labels=None)


@pytest.mark.parametrize(
    ("rewards", "components", "message"),
    [
        ((1.0,), {}, "1 rewards for 2 rollouts"),
        ((1.0, 0.0, 0.0), {}, "3 rewards for 2 rollouts"),
        ((1.0, float("nan")), {}, "rewards of rollout 1 is nan"),
        ((float("inf"), 0.0), {}, "rewards of rollout 0 is inf"),
        ((1.0, 0.0), {"novelty": (1.0,)}, "1 novelty for 2 rollouts"),
    ],
)
def test_a_score_that_does_not_fit_is_refused(
    rewards: tuple[float, ...], components: dict[str, tuple[float, ...]], message: str
) -> None:
    score = GroupScore(rewards=rewards, vote=vote(["1", "1"]), components=components)
    with pytest.raises(TrainingError, match=message) as caught:
        checked(score, group_of(boxed("1", "1"), id="world-7"))
    assert "world-7" in str(caught.value)
