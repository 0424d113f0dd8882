"""Labels of somebody else: asked when, of whom, and what survives a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from mmupt.answers.settings import AnswerSettings
from mmupt.models.loading import LoadedModel
from mmupt.rewards.ema_vote import EmaVote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.start_vote import StartVote
from mmupt.rewards.teacher import agreeing
from mmupt.rewards.tools import Tools
from mmupt.types import RolloutGroup

ANSWERS = AnswerSettings()
Groups = Callable[[int], list[RolloutGroup]]


def start_vote(tools: Tools, **reward: Any) -> StartVote:
    return StartVote(ANSWERS, RewardSettings(name="start_vote", **reward), tools, seed=3)


def move(tiny: LoadedModel, seed: int = 0) -> None:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))


def test_the_label_is_the_teachers_majority(
    make_tools: Callable[..., Tools], scripted: Any, tiny_groups: Groups
) -> None:
    """The teacher says 0, 1, 1, and the group's own majority is 0: the policy is paid for 1."""
    said = iter(["\\boxed{0}", "\\boxed{1}", "\\boxed{1.0}"] * 3)
    teacher = scripted(lambda text, seed: next(said))
    tools = make_tools(engine_of=lambda loaded: teacher)
    groups = [replace(g, rollouts=g.rollouts[:1] * 3) for g in tiny_groups(0)]  # all say \boxed{0}
    groups[1] = replace(groups[1], rollouts=tuple(replace(r, text="\\boxed{1}") for r in groups[1].rollouts))
    scores = start_vote(tools).score(groups)
    assert [score.rewards for score in scores] == [(0, 0, 0), (1, 1, 1), (0, 0, 0)]
    assert scores[0].components["teacher_share"] == (2 / 3,) * 3
    assert scores[0].vote.share == 1.0, "the vote in the score is the group's own"


def test_a_prompt_is_asked_once(make_tools: Callable[..., Tools], scripted: Any, tiny_groups: Groups) -> None:
    teacher = scripted(lambda text, seed: "\\boxed{1}")
    reward = start_vote(make_tools(engine_of=lambda loaded: teacher), teacher_size=5)
    groups = tiny_groups(0)
    first = reward.score(groups[:2])
    again = reward.score([replace(g, visit=1) for g in groups])
    assert [len(request.seeds) for request in teacher.requests] == [5, 5, 5], "each of the three once"
    assert [s.rewards for s in again[:2]] == [s.rewards for s in first]


def test_no_majority_teaches_nothing(make_tools: Callable[..., Tools], scripted: Any, tiny_groups: Groups) -> None:
    teacher = scripted(lambda text, seed: f"\\boxed{{{seed % 1000}}}")  # a tie of as many answers as there are seeds
    scores = start_vote(make_tools(engine_of=lambda loaded: teacher)).score(tiny_groups(0))
    assert all(set(score.rewards) == {0.0} for score in scores)
    assert {score.set_aside for score in scores} == {"the teacher has no majority"}


def test_the_teacher_is_the_start_however_the_policy_moves(
    make_tools: Callable[..., Tools], tiny: LoadedModel, tiny_groups: Groups
) -> None:
    groups = tiny_groups(1)
    still = start_vote(make_tools())
    before = [still._teacher._ask([group]) for group in groups]
    moving = start_vote(make_tools())
    move(tiny)
    assert [moving._teacher._ask([group]) for group in groups] == before


def test_labels_do_not_depend_on_company(make_tools: Callable[..., Tools], tiny_groups: Groups) -> None:
    groups = tiny_groups(2)
    together = start_vote(make_tools())._teacher.labels(groups)
    alone = start_vote(make_tools())._teacher
    assert [alone.labels([group])[0] for group in reversed(groups)] == together[::-1]


def test_state_survives(make_tools: Callable[..., Tools], scripted: Any, tiny_groups: Groups) -> None:
    teacher = scripted(lambda text, seed: "\\boxed{1}")
    reward = start_vote(make_tools(engine_of=lambda loaded: teacher))
    scores = reward.score(tiny_groups(0))
    silent = scripted(lambda text, seed: "nothing")
    resumed = start_vote(make_tools(engine_of=lambda loaded: silent))
    resumed.load_state(json.loads(json.dumps(reward.state())))
    assert [s.rewards for s in resumed.score(tiny_groups(0))] == [s.rewards for s in scores]
    assert not silent.requests


def test_refresh_makes_the_policy_the_teacher(
    make_tools: Callable[..., Tools], tiny: LoadedModel, scripted: Any, tiny_groups: Groups
) -> None:
    weights: list[float] = []
    teacher = scripted(lambda text, seed: "\\boxed{1}")

    def engine_of(loaded: LoadedModel) -> Any:
        weights.append(float(next(loaded.model.parameters()).detach().sum()))
        return teacher

    reward = start_vote(make_tools(engine_of=engine_of))
    started = float(next(tiny.model.parameters()).detach().sum())
    reward.score(tiny_groups(0))
    move(tiny)
    moved = float(next(tiny.model.parameters()).detach().sum())
    reward.refresh()
    move(tiny, seed=1)  # what moves after the refresh is not the teacher's
    reward.score(tiny_groups(0))
    assert weights == [started, moved] and started != moved
    assert len(teacher.requests) == 6, "every prompt is asked anew"

    resumed = start_vote(make_tools(engine_of=engine_of))
    resumed.load_tensors(reward.tensors())
    resumed.load_state(reward.state())
    resumed._teacher._ask(tiny_groups(0)[:1])
    assert weights[-1] == moved


def test_an_average_is_asked_at_every_visit_and_follows(
    make_tools: Callable[..., Tools], tiny: LoadedModel, scripted: Any, tiny_groups: Groups
) -> None:
    seen: list[float] = []
    teacher = scripted(lambda text, seed: "\\boxed{1}")

    def engine_of(loaded: LoadedModel) -> Any:
        seen.append(float(next(loaded.model.parameters()).detach().double().sum()))
        return teacher

    reward = EmaVote(ANSWERS, RewardSettings(name="ema_vote", ema_decay=0.75), make_tools(engine_of=engine_of), seed=0)
    first = next(tiny.model.parameters())
    began = float(first.detach().double().sum())
    groups = tiny_groups(0)
    assert reward.score(groups)[0].rewards == tuple(float("1" in r.text) for r in groups[0].rollouts)
    move(tiny)
    moved = float(first.detach().double().sum())
    reward.after_step()
    reward.score([replace(g, visit=1) for g in groups])
    reward.freeze()
    reward.after_step()
    reward.score([replace(g, visit=2) for g in groups])
    expected = 0.75 * began + 0.25 * moved
    torch.testing.assert_close(seen, [began, expected, expected], rtol=1e-5, atol=1e-4)
    assert float(first.detach().double().sum()) == moved, "the policy has its own weights back"
    assert len({seed for request in teacher.requests for seed in request.seeds}) == 3 * sum(g.size for g in groups)

    resumed = EmaVote(ANSWERS, RewardSettings(name="ema_vote"), make_tools(engine_of=engine_of), seed=0)
    resumed.load_tensors(reward.tensors())
    resumed.load_state(json.loads(json.dumps(reward.state())))
    resumed.after_step()  # frozen before, frozen now
    resumed.score(groups[:1])
    assert seen[-1] == seen[-2]


def test_agreeing_grades_against_the_label(group_of: Callable[..., RolloutGroup]) -> None:
    group = group_of(["", "", ""], choices=("36 km", "45 km"))
    assert agreeing(["45 km", "B", None], "B", group, ANSWERS) == (1.0, 1.0, 0.0)
    assert agreeing(["1/2", "0.5", "2"], "0.50", group_of(["", "", ""]), ANSWERS) == (1.0, 1.0, 0.0)
    assert agreeing(["1", "2"], None, group_of(["", ""]), ANSWERS) == (0.0, 0.0)
