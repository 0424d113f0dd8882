"""What the guard decides, done. The guard itself is scripted here."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from mmupt.guard.guard import Event, Guard, Verdict
from mmupt.guard.settings import Action, GuardSettings
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.rewards.base import Reward
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder
from mmupt.train.context import StageContext
from mmupt.train.guarding import Guarding, Outcome
from mmupt.train.optimizer import apply_gradients, build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage, OptimizerSettings


def event(step: int, *actions: Action) -> Event:
    return Event(step, actions[-1], "score", "something was seen", 0.1, 0.5, 0.4, actions)


class ScriptedGuard:
    """Says what it is told to; `shut` and `last` as a test sets them."""

    settings = GuardSettings(slow_factor=0.5)

    def __init__(self, verdicts: dict[int, Verdict], shut: bool = False, last: Verdict | None = None) -> None:
        self.verdicts, self.shut, self.last = verdicts, shut, last or Verdict()
        self.loaded: object = None

    def begin(self) -> list[Event]:
        return [event(0, "stop")] if self.shut else []

    def observe(self, step: int, *_: object) -> Verdict:
        return self.verdicts.get(step, Verdict())

    def finish(self, step: int) -> Verdict:
        return self.last

    def state(self) -> dict[str, Any]:
        return {"seen": 7}

    def load_state(self, state: object) -> None:
        self.loaded = state

    def story(self) -> dict[str, Any]:
        return {"events": []}


class Hooked:
    """A reward that remembers which hooks were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def freeze(self) -> None:
        self.calls.append("freeze")

    def refresh(self) -> None:
        self.calls.append("refresh")


@pytest.fixture
def context(tmp_path: Path) -> Any:
    with (
        RunFolder.create(tmp_path / "run", "seed = 0\n", 0) as run,
        MetricsLog(run.metrics) as metrics,
        Progress() as progress,
    ):
        yield StageContext(run, metrics, progress, "upt", 0)


def guarding(
    context: StageContext, tiny: LoadedModel, guard: ScriptedGuard | None, reward: Hooked | None = None
) -> Guarding:
    first = copy.deepcopy(tiny.model)
    hooked = cast(Reward, reward or Hooked())
    return Guarding(cast(Guard | None, guard), StartModel(tiny, lambda: first), hooked, context)


def test_nothing_happens_without_a_guard(context: StageContext, tiny: LoadedModel) -> None:
    alone = guarding(context, tiny, None)
    assert alone.begin()
    assert alone.after(1, [], [], {}) == Outcome()
    assert alone.finish(1) is None
    assert (alone.lr_scale, alone.kl_scale, alone.best_step) == (1.0, 1.0, None)
    assert not context.run.guard("upt").exists()


def test_slowing_down_and_the_teacher(
    context: StageContext, tiny: LoadedModel, stage_with: Callable[..., GrpoStage]
) -> None:
    reward = Hooked()
    guard = ScriptedGuard(
        {
            1: Verdict({"guard/score": 0.4}, [event(1, "slow", "freeze")]),
            2: Verdict({}, [event(2, "slow")]),
            3: Verdict({}, [event(3, "refresh")]),
        }
    )
    hands = guarding(context, tiny, guard, reward)
    stage = stage_with(algo={"kl_coef": 0.02})
    assert hands.begin() and hands.slowed(stage) is stage
    outcome = hands.after(1, [], [], {})
    assert outcome.fields == {"guard/score": 0.4, "lr_scale": 0.5} and not outcome.stop
    hands.after(2, [], [], {})
    assert (hands.lr_scale, hands.slowed(stage).algo.kl_coef) == (0.25, 0.08)
    hands.after(3, [], [], {})
    assert reward.calls == ["freeze", "refresh"]
    assert json.loads(context.run.guard("upt").read_text()) == {"events": []}


def test_a_gate_that_is_shut(context: StageContext, tiny: LoadedModel) -> None:
    assert not guarding(context, tiny, ScriptedGuard({}, shut=True)).begin()


def test_where_a_rollback_goes(context: StageContext, tiny: LoadedModel) -> None:
    back = Verdict({}, [event(0, "rollback", "stop")])
    hands = guarding(context, tiny, ScriptedGuard({1: back, 2: Verdict(best=True), 3: back}, last=back))
    assert hands.after(1, [], [], {}).go_back_to == 0
    assert hands.after(2, [], [], {}).best
    outcome = hands.after(3, [], [], {})
    assert (outcome.go_back_to, outcome.stop) == (2, True)
    assert hands.finish(4) == 2


def test_going_back_brings_weights_and_optimiser(context: StageContext, tiny: LoadedModel) -> None:
    settings = OptimizerSettings(lr=1e-2)
    optimizer = build_optimizer(tiny.model.parameters(), settings)

    def step(seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        for p in tiny.model.parameters():
            p.grad = torch.randn(p.shape, generator=rng)
        apply_gradients(optimizer, settings, 1e-2, 0.0, ())

    def weights() -> list[torch.Tensor]:
        return [p.detach().clone() for p in tiny.model.parameters()]

    def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    hands = guarding(context, tiny, ScriptedGuard({1: Verdict(best=True)}))
    began = weights()
    step(0)
    hands.after(1, [], [], {})
    context.save(1, Policy(tiny), optimizer, {}, keep=hands.best_step)
    kept = weights()
    step(1)
    after_two = weights()
    for later in (2, 3, 4):  # the last two checkpoints stay, and the best one
        context.save(later, Policy(tiny), optimizer, {}, keep=hands.best_step)
    assert sorted(f.name for f in context.run.checkpoints("upt").iterdir()) == [f"step-{n:06d}" for n in (1, 3, 4)]
    hands.go_back(1, Policy(tiny), optimizer)
    assert equal(weights(), kept)
    step(1)
    assert equal(weights(), after_two), "momentum is that of the step, too"
    hands.go_back(0, Policy(tiny), optimizer)
    assert equal(weights(), began) and not optimizer.state


def test_state_round_trip(context: StageContext, tiny: LoadedModel) -> None:
    hands = guarding(context, tiny, ScriptedGuard({1: Verdict({}, [event(1, "slow")], best=True)}))
    hands.after(1, [], [], {})
    guard = ScriptedGuard({})
    resumed = guarding(context, tiny, guard)
    resumed.load_state(json.loads(json.dumps(hands.state())))
    assert (resumed.lr_scale, resumed.kl_scale, resumed.best_step, guard.loaded) == (0.5, 2.0, 1, {"seen": 7})
