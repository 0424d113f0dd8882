"""Entropy and self-certainty of the policy's own tokens, and the two rewards made of them, against transformers' own
logits of each rollout alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmupt.answers.settings import AnswerSettings
from mmupt.models.loading import LoadedModel
from mmupt.rewards.base import Reward
from mmupt.rewards.measures import token_means
from mmupt.rewards.self_certainty import SelfCertainty
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.token_entropy import TokenEntropy
from mmupt.rewards.tools import Tools
from mmupt.types import RolloutGroup

Groups = Callable[[int], list[RolloutGroup]]


def rewards_of(tools: Tools) -> list[Reward]:
    return [
        SelfCertainty(AnswerSettings(), RewardSettings(name="self_certainty"), tools, seed=0),
        TokenEntropy(AnswerSettings(), RewardSettings(name="token_entropy"), tools, seed=0),
    ]


def slow(plain: Any, groups: list[RolloutGroup], temperature: float) -> tuple[list[list[float]], list[list[float]]]:
    """(entropies, certainties), every rollout forwarded alone, every distribution written out."""
    entropies: list[list[float]] = []
    certainties: list[list[float]] = []
    for group in groups:
        entropies.append([])
        certainties.append([])
        for rollout in group.rollouts:
            with torch.no_grad():
                p_TV = (plain.logits(group.encoded, rollout.token_ids).double() / temperature).softmax(-1)
            vocabulary = p_TV.shape[-1]
            entropies[-1].append(float(-(p_TV * p_TV.log()).sum(-1).mean()))
            certainties[-1].append(float(-(vocabulary * p_TV).log().sum() / p_TV.numel()))
    return entropies, certainties


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_against_every_rollout_alone(
    plain: Any, make_tools: Callable[..., Tools], tiny_groups: Groups, temperature: float
) -> None:
    groups = tiny_groups(0)
    entropies, certainties = slow(plain, groups, temperature)
    tools = make_tools(temperature=temperature)
    certainty, entropy = rewards_of(tools)
    for score, expected in zip(certainty.score(groups), certainties, strict=True):
        assert score.rewards == pytest.approx(expected, rel=1e-4)
        assert all(reward > 0 for reward in score.rewards), "a divergence"
        assert score.vote.answers[:2] == ("0", "1"), "the vote is filled in"
    for score, expected in zip(entropy.score(groups), entropies, strict=True):
        assert score.rewards == pytest.approx([-h for h in expected], rel=1e-4)


@pytest.mark.parametrize("what", ["entropy", "certainty"])
def test_how_groups_share_rows_and_rollouts_stand_changes_nothing(
    make_tools: Callable[..., Tools], tiny_groups: Groups, what: Any
) -> None:
    groups = tiny_groups(1) + tiny_groups(2)
    whole = token_means(groups, make_tools(), what)
    for cut in ({"micro_batch_tokens": 1}, {"micro_batch_tokens": 150}, {"logprob_chunk": 3}):
        for found, expected in zip(token_means(groups, make_tools(**cut), what), whole, strict=True):
            assert found == pytest.approx(expected, abs=1e-5)
    turned = [replace(group, rollouts=group.rollouts[::-1]) for group in reversed(groups)]
    for found, expected in zip(token_means(turned, make_tools(), what), reversed(whole), strict=True):
        assert found == pytest.approx(expected[::-1], abs=1e-5)


def test_the_policy_of_the_moment_is_asked(
    tiny: LoadedModel, make_tools: Callable[..., Tools], tiny_groups: Groups
) -> None:
    groups = tiny_groups(3)
    certainty, entropy = rewards_of(make_tools())
    before = certainty.score(groups)[0].rewards, entropy.score(groups)[0].rewards
    with torch.no_grad():
        tiny.family.head(tiny.model).weight.zero_()  # type: ignore[operator, union-attr]
    vocabulary = tiny.family.head(tiny.model).weight.shape[0]  # type: ignore[union-attr, index]
    assert certainty.score(groups)[0].rewards == pytest.approx([0.0] * groups[0].size, abs=1e-5), "uniform: not sure"
    assert entropy.score(groups)[0].rewards == pytest.approx([-math.log(vocabulary)] * groups[0].size, rel=1e-5)
    assert before[0] != certainty.score(groups)[0].rewards and before[1] != entropy.score(groups)[0].rewards


def test_nothing_is_learned_by_measuring_and_the_clock_counts_it(
    tiny: LoadedModel, make_tools: Callable[..., Tools], tiny_groups: Groups
) -> None:
    groups, tools = tiny_groups(4), make_tools()
    tools.clock.start()
    with tools.clock("reward"):
        token_means(groups, tools, "certainty")
    assert all(p.grad is None for p in tiny.model.parameters())
    tokens = sum(len(rollout.token_ids) for group in groups for rollout in group.rollouts)
    assert tools.clock.take().phases["reward"].tokens == tokens


def test_no_groups_no_forward(make_tools: Callable[..., Tools]) -> None:
    assert token_means([], make_tools(), "entropy") == []
