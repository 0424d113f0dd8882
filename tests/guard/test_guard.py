"""What the guard decides, on courses of a model that are written down: nothing is sampled from a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from mmupt.answers.vote import vote
from mmupt.guard.guard import Event, Guard
from mmupt.guard.settings import Action, GuardSettings
from mmupt.guard.signals import answer_shares
from mmupt.guard.watch import Answered, Measurement
from mmupt.rewards.teacher import Label
from mmupt.types import EncodedPrompt, GroupScore, Prompt, Rollout, RolloutGroup

NO_TENSORS = cast(EncodedPrompt, None)


def group_of(id: str, answers: Sequence[str | None], tokens: Sequence[int] = (1, 2, 3, 4, 5)) -> RolloutGroup:
    rollouts = tuple(Rollout(tuple(tokens), (0.0,) * len(tokens), f"{a}", "end") for a in answers)
    return RolloutGroup(Prompt(id, "How many?"), NO_TENSORS, rollouts)


def score_of(answers: Sequence[str | None]) -> GroupScore:
    return GroupScore((0.0,) * len(answers), vote(answers))


@dataclass(frozen=True)
class Model:
    """How a model behaves on every prompt: it says the start's majority answer of a prompt with probability `right`
    (the same for all, or one number a prompt), one and the same answer to everything with `constant`, nothing that can
    be read with `unreadable`, and something else otherwise."""

    right: float = 0.7
    constant: float = 0.0
    unreadable: float = 0.0
    repeats: bool = False

    def answer(self, prompt: int, random: float, other: float) -> str | None:
        if random < self.unreadable:
            return None
        if random < self.unreadable + self.constant:
            return "777"
        if random < self.unreadable + self.constant + self.right:
            return str(prompt)
        return str(1000 + prompt * 100 + int(other * 50))


Course = Callable[[int], Model]
"""The model behind each step."""


@dataclass
class FakeWatch:
    """`size` prompts, `samples` draws each; as with a model, half of the draws are the same at every measurement and
    the other half are not, so that measurements of one and the same model differ by chance."""

    course: Course
    size: int = 64
    samples: int = 8
    seed: int = 0
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.size

    def labels(self) -> dict[str, Label]:
        found = {}
        for prompt in range(self.size):
            outcome = vote(self._draw(prompt, -1, self.course(0)))
            found[f"w{prompt}"] = Label(outcome.winner.answer if outcome.winner else None, outcome.share)
        return found

    def measure(self, step: int, labels: Mapping[str, Label]) -> Measurement:
        self.asked.append(step)
        prompts = {}
        for prompt in range(self.size):
            outcome = vote(self._draw(prompt, step, self.course(step)))
            label = labels[f"w{prompt}"].answer
            agrees = sum(answer is not None and answer == label for answer in outcome.answers) / outcome.size
            kept = outcome.winner is not None and outcome.winner.answer == label
            prompts[f"w{prompt}"] = Answered(agrees, kept, outcome.share, answer_shares(outcome, None))
        return Measurement(step, prompts, rank=10.0)

    def _draw(self, prompt: int, step: int, model: Model) -> list[str | None]:
        # A prompt is easy or hard: the start says its answer more or less often than the mean.
        lean = float(np.random.default_rng([self.seed, prompt]).uniform(-0.25, 0.25))
        leaning = Model(min(1.0, max(0.0, model.right + lean)), model.constant, model.unreadable)
        answers = []
        for i in range(self.samples):
            fixed = i < self.samples // 2 and step >= 0
            rng = np.random.default_rng([self.seed, prompt, i, 0 if fixed else step + 2])
            answers.append(leaning.answer(prompt, *rng.uniform(size=2)))
        return answers


def training_step(
    step: int, model: Model, *, prompts: int = 16, size: int = 8, seed: int = 0
) -> tuple[list[RolloutGroup], list[GroupScore], dict[str, float]]:
    """A step's groups, scores and record."""
    rng = np.random.default_rng([seed, 99, step])
    tokens = (1, 2) * 20 if model.repeats else tuple(range(40))
    groups, scores = [], []
    for prompt in rng.integers(0, 1000, prompts):
        answers = [model.answer(int(prompt) + 2000, *rng.uniform(size=2)) for _ in range(size)]
        groups.append(group_of(f"t{prompt}", answers, tokens))
        scores.append(score_of(answers))
    count = prompts * size
    record = {
        "share": sum(s.vote.share for s in scores) / prompts,
        "semantic_entropy": 0.5 + 0.02 * float(rng.normal()),
        "zero_signal_groups": sum(len(s.vote.clusters) == 1 for s in scores) / prompts,
        "unreadable": 1.0 - sum(s.vote.num_answers for s in scores) / count,
        "truncated": 0.0,
        "length": 40.0 + float(rng.normal()),
        "entropy": 0.4 + 0.02 * float(rng.normal()),
        "kl": 0.0,
    }
    return groups, scores, record


@dataclass
class Run:
    """What happened to a run: the steps it took, and when which action was done (0: before the first step)."""

    guard: Guard
    steps: int = 0
    actions: list[tuple[int, Action]] = field(default_factory=list)
    bests: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def when(self, action: Action) -> list[int]:
        return [step for step, done in self.actions if done == action]


def run(course: Course, *, steps: int = 150, seed: int = 0, size: int = 64, resume_at: int = 0, **settings: Any) -> Run:
    """The loop of train/grpo.py, without training: a rollback brings the model of the best step back for good (what was
    learned wrong is not learned again)."""
    weights = {"step": 0}  # whose step's model the run has now
    healed: list[int] = []

    def model(step: int) -> Model:
        return course(healed[-1] if healed else step)

    chosen = GuardSettings(**settings)
    watch = FakeWatch(model, size=size, seed=seed)
    result = Run(Guard(chosen, watch))
    result.events += result.guard.begin()
    if result.guard.shut:
        return result
    for step in range(1, steps + 1):
        weights["step"] = step
        verdict = result.guard.observe(step, *training_step(step, model(step), seed=seed))
        result.steps = step
        result.events += verdict.events
        result.actions += [(step, action) for action in sorted(verdict.actions)]
        if verdict.best:
            result.bests.append(step)
        if "rollback" in verdict.actions:
            healed.append(result.bests[-1] if result.bests else 0)
        if "stop" in verdict.actions:
            break
        if step == resume_at:
            state = json.loads(json.dumps(result.guard.state()))
            result.guard = Guard(chosen, watch)
            result.guard.load_state(state)
    last = result.guard.finish(result.steps)
    result.events += last.events
    result.actions += [(result.steps, action) for action in sorted(last.actions)]
    return result


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


def ramp(start: float, end: float, first: int, last: int) -> Callable[[int], float]:
    """From `start` up to step `first` in a straight line to `end` from step `last` on."""
    return lambda step: start + (end - start) * min(1.0, max(0.0, (step - first) / (last - first)))


def flat(step: int) -> Model:
    return Model(right=0.6)


def healthy(step: int) -> Model:
    return Model(right=ramp(0.6, 0.95, 0, 60)(step))


def constant_collapse(step: int) -> Model:
    """Better for 40 steps, then one answer for everything within 15."""
    taken = ramp(0.0, 0.95, 40, 55)(step)
    return Model(right=(1 - taken) * healthy(step).right, constant=taken)


def slow_decay(step: int) -> Model:
    return Model(right=healthy(step).right if step <= 60 else ramp(0.95, 0.5, 60, 150)(step))


def unreadable_flood(step: int) -> Model:
    flood = 0.0 if step < 30 else 0.9
    return Model(right=0.6 * (1 - flood), unreadable=flood)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_alone_does_nothing(seed: int) -> None:
    result = run(flat, seed=seed)
    assert result.steps == 150
    assert {action for _, action in result.actions} <= {"warn"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_run_is_left_alone_and_its_best_moves_on(seed: int) -> None:
    result = run(healthy, seed=seed)
    assert result.steps == 150
    assert {action for _, action in result.actions} <= {"warn"}
    assert result.bests and result.bests[-1] >= 40
    assert result.guard.story()["best_step"] == result.bests[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_answer_for_everything_ends_the_run_at_its_best_step(seed: int) -> None:
    result = run(constant_collapse, seed=seed)
    assert result.steps <= 60
    story = result.guard.story()
    assert story["stopped_at"] == result.steps
    assert story["rolled_back_to"] == result.bests[-1] > 0
    assert constant_collapse(result.bests[-1]).constant < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_decay_goes_back_once_it_is_sure(seed: int) -> None:
    result = run(slow_decay, seed=seed)
    (back,) = result.when("rollback")
    assert 70 <= back <= 120
    assert result.when("slow") == result.when("freeze") == [back]
    assert not result.when("stop"), "the model behind the rollback is good, and stays so"
    assert slow_decay(result.guard.story()["rolled_back_to"]).right >= 0.85


def test_decaying_again_after_a_slow_down_stops() -> None:
    state = {"offset": 0}

    def course(step: int) -> Model:
        return Model(right=ramp(0.9, 0.3, 0, 100)(step - state["offset"]))

    guard = Guard(GuardSettings(), FakeWatch(course))
    guard.begin()
    seen: list[tuple[int, frozenset[Action]]] = []
    for step in range(1, 150):
        verdict = guard.observe(step, *training_step(step, course(step)))
        if verdict.actions - {"warn"}:
            seen.append((step, verdict.actions - {"warn"}))
        if "rollback" in verdict.actions:
            state["offset"] = step  # the start's weights, and the same decline all over
        if "stop" in verdict.actions:
            break
    assert [actions for _, actions in seen] == [{"rollback", "slow", "freeze"}, {"rollback", "stop"}]


@pytest.mark.parametrize("watched", [64, 0])
def test_a_flood_of_unreadable_answers_is_met_at_once(watched: int) -> None:
    """Also where only the training groups are there to see it, and between two measurements."""
    result = run(unreadable_flood, size=watched, every=20)
    assert result.steps == 30
    assert result.when("stop") == result.when("rollback") == [30]
    assert result.events[-1].signal in ("unreadable", "watch_unreadable")


def test_a_milder_flood_climbs_the_ladder() -> None:
    """Without a watch set: warned, slowed down, gone back, each `patience` measurements behind the other."""

    def course(step: int) -> Model:
        return Model(right=0.6, unreadable=0.0 if step <= 20 else 0.3)

    result = run(course, size=0)
    assert result.when("warn") == [30]
    assert result.when("slow") == result.when("freeze") == [40]
    assert result.when("rollback") == result.when("stop") == [60]
    assert result.guard.story()["rolled_back_to"] == 0
    assert result.guard.story()["note"]


def test_what_comes_back_is_forgiven() -> None:
    def course(step: int) -> Model:
        return Model(right=0.6, unreadable=0.3 if 20 < step <= 30 or 40 < step <= 50 else 0.0)

    result = run(course, size=0)
    assert result.when("warn") == [30, 50]
    assert {action for _, action in result.actions} == {"warn"}


def test_repetition_is_seen() -> None:
    result = run(lambda step: Model(right=0.6, repeats=step > 20), size=0)
    assert result.events[0].signal == "repetition"
    assert result.when("slow") == [40]


def test_what_is_not_allowed_is_said_once_and_not_done() -> None:
    result = run(constant_collapse, actions=("warn",))
    assert result.steps == 150
    assert {action for _, action in result.actions} == {"warn"}
    wished = [event for event in result.events if event.action == "stop"]
    assert len(wished) == 1
    assert wished[0].done == () and set(wished[0].not_done) == {"rollback", "stop"}
    assert "guard.actions leaves out rollback and stop" in wished[0].text
    assert result.guard.story()["stopped_at"] is None and result.guard.story()["rolled_back_to"] is None


def test_without_rollback_a_decay_is_slowed_down_and_then_stopped() -> None:
    result = run(slow_decay, actions=("warn", "slow", "stop"))
    (slow,), (stop,) = result.when("slow"), result.when("stop")
    assert stop == slow + 20
    assert result.steps == stop


def test_the_end_goes_back_without_patience() -> None:
    def course(step: int) -> Model:
        return healthy(step) if step <= 90 else Model(right=0.5)

    result = run(course, steps=95)
    assert result.when("rollback") == [95]
    assert result.guard.story()["rolled_back_to"] == result.bests[-1]
    assert not run(healthy, steps=95).when("rollback")


def test_the_end_asks_nothing_twice() -> None:
    watch = FakeWatch(flat)
    guard = Guard(GuardSettings(), watch)
    guard.begin()
    guard.observe(10, *training_step(10, flat(10)))
    guard.finish(10)
    assert watch.asked == [0, 10]


@pytest.mark.parametrize("start", [Model(right=0.1), Model(right=0.3, unreadable=0.6)])
def test_the_gate(start: Model) -> None:
    result = run(lambda step: start)
    assert result.guard.shut and result.steps == 0
    assert result.events[0].step == 0 and "guard.gate = false" in result.events[0].text
    story = result.guard.story()
    assert story["shut"] and story["stopped_at"] == 0
    for opened in ({"gate": False}, {"actions": ("warn", "slow", "freeze", "rollback")}):
        result = run(lambda step: start, steps=1, **opened)
        assert not result.guard.shut and result.steps == 1
        assert result.events[0].not_done == ("stop",)


def test_refresh_after_calm_steps_only() -> None:
    allowed = ("warn", "slow", "freeze", "rollback", "stop", "refresh")
    assert run(flat, refresh_every=40, actions=allowed).when("refresh") == [40, 80, 120]
    result = run(lambda step: Model(right=0.6, unreadable=0.3 if step > 60 else 0.0), size=0, refresh_every=40,
                 actions=allowed)  # fmt: skip
    assert result.when("refresh") == [40]


@pytest.mark.parametrize("course", [healthy, constant_collapse, slow_decay, unreadable_flood])
@pytest.mark.parametrize("resume_at", [3, pytest.param(7, marks=pytest.mark.slow), 45])
def test_a_resumed_guard_decides_the_same(course: Course, resume_at: int) -> None:
    straight, resumed = run(course), run(course, resume_at=resume_at)
    assert resumed.actions == straight.actions
    assert resumed.bests == straight.bests
    assert resumed.guard.story() == straight.guard.story()
    assert resumed.guard.state() == straight.guard.state()


def test_the_story_is_json_and_complete() -> None:
    story = run(constant_collapse).guard.story()
    assert json.loads(json.dumps(story, allow_nan=False)) == story
    assert story["watched"] == 64 and 0 < story["anchors"] < 64 and story["note"] is None
    assert {"score", "anchor_agreement"} <= story["start"].keys()
    assert [m["step"] for m in story["measurements"]] == list(range(10, story["stopped_at"] + 1, 10))
    for event in story["events"]:
        assert {"step", "action", "signal", "text", "value", "start", "bound", "done", "not_done"} == event.keys()


def test_fields_are_numbers_for_metrics() -> None:
    guard = Guard(GuardSettings(every=6), FakeWatch(flat))
    guard.begin()
    fields = [guard.observe(step, *training_step(step, flat(step))).fields for step in range(1, 7)]
    every_step = {"guard/repetition", "guard/top_answer", "guard/share_jump", "guard/share_jump_sds"}
    assert fields[0].keys() == every_step
    assert fields[5].keys() == every_step | {
        "guard/answers_moved", "guard/score", "guard/anchor_agreement", "guard/anchor_majority", "guard/watch_share",
        "guard/watch_top_answer", "guard/watch_answers_moved", "guard/watch_unreadable", "guard/effective_rank",
    }  # fmt: skip
