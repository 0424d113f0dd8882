"""What the guard decides, done: to the learning rate, the KL term, the teacher, the weights, and the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmupt.guard.guard import Event, Guard
from mmupt.models.start import StartModel
from mmupt.rewards.base import Reward
from mmupt.runtime.dashboard import Light
from mmupt.runtime.files import write_json
from mmupt.train.context import StageContext
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage
from mmupt.types import GroupScore, RolloutGroup


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from a step: `fields` for metrics; `best` where the model is the best so far by the label-free
    score and must be kept; the step to go back to, if any; whether the stage ends here."""

    fields: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    go_back_to: int | None = None
    stop: bool = False


class Guarding:
    """The guard of one stage and its hands. Without a guard nothing ever happens.

    Events are told at once, and kept in `guard/<stage>.json` of the run folder, for summary and report.
    """

    def __init__(
        self,
        guard: Guard | None,
        start: StartModel,
        reward: Reward,
        context: StageContext,
        legacy: Mapping[str, Any] | None = None,
    ) -> None:
        """`legacy` is what the guard of an earlier stage has left, where this one carries it on."""
        self._guard, self._start, self._reward, self._context, self._legacy = guard, start, reward, context, legacy
        self.lr_scale = 1.0
        self.kl_scale = 1.0
        self._light: tuple[Light, str] = ("good", "nothing out of bounds so far")
        self.best_step: int | None = None
        """The step whose checkpoint is kept to go back to; None where that is the start itself."""

    def begin(self) -> bool:
        """The start is measured. False where the guard finds that this stage should not begin."""
        if self._guard is None:
            return True
        if self._legacy is not None:
            self._guard.inherit(self._legacy["guard"])
            self.lr_scale, self.kl_scale = self._legacy["lr_scale"], self._legacy["kl_scale"]
            if self._legacy["guard"]["frozen"]:
                self._reward.freeze()
            self._write()
            return True
        self._tell(self._guard.begin())
        return not self._guard.shut

    def after(
        self, step: int, groups: Sequence[RolloutGroup], scores: Sequence[GroupScore], record: Mapping[str, float]
    ) -> Outcome:
        """What step `step` (from 1) has shown; actions that need no weights are done already."""
        if self._guard is None:
            return Outcome()
        verdict = self._guard.observe(step, groups, scores, record)
        self._tell(verdict.events)
        if "slow" in verdict.actions:
            self.lr_scale *= self._guard.settings.slow_factor
            self.kl_scale /= self._guard.settings.slow_factor
        if "freeze" in verdict.actions:
            self._reward.freeze()
        if "refresh" in verdict.actions:
            self._reward.refresh()
        if verdict.best:
            self.best_step = step
        return Outcome(
            fields={**verdict.fields, "lr_scale": self.lr_scale},
            best=verdict.best,
            go_back_to=(self.best_step or 0) if "rollback" in verdict.actions else None,
            stop="stop" in verdict.actions,
        )

    def slowed(self, stage: GrpoStage) -> GrpoStage:
        """The stage with the KL coefficient that holds now."""
        if self.kl_scale == 1.0:
            return stage
        algo = stage.algo.model_copy(update={"kl_coef": stage.algo.kl_coef * self.kl_scale})
        return stage.model_copy(update={"algo": algo})

    def go_back(self, step: int, policy: Policy, optimizer: torch.optim.AdamW) -> None:
        """Weights and optimiser as they were behind step `step`; 0 is the start, with an optimiser that has seen
        nothing."""
        if step == 0:
            self._start.restore()
            policy.take_over()
            optimizer.state.clear()
        else:
            self._context.go_back(step, policy, optimizer)

    def finish(self, step: int) -> int | None:
        """At the end of the stage: the step to go back to where the last one is clearly not the best, else None."""
        if self._guard is None:
            return None
        verdict = self._guard.finish(step)
        self._tell(verdict.events)
        return (self.best_step or 0) if "rollback" in verdict.actions else None

    def close(self) -> None:
        """Behind the end of the stage: what a later stage may carry on stands in the run folder."""
        if self._guard is not None:
            left = {"lr_scale": self.lr_scale, "kl_scale": self.kl_scale, "guard": self._guard.legacy()}
            self._keep(self._context.run.guard_legacy(self._context.stage), left)

    def state(self) -> dict[str, Any]:
        return {
            "lr_scale": self.lr_scale,
            "kl_scale": self.kl_scale,
            "best_step": self.best_step,
            "guard": self._guard.state() if self._guard is not None else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.lr_scale, self.kl_scale = state["lr_scale"], state["kl_scale"]
        self.best_step = state["best_step"]
        if self._guard is not None:
            self._guard.load_state(state["guard"])
            self._write()

    def _tell(self, events: Sequence[Event]) -> None:
        progress = self._context.progress
        for event in events:
            progress.note(f"guard, step {event.step}: {event.text}")
            grave = "rollback" in event.done or "stop" in event.done
            calm = event.done == ("refresh",)
            self._light = ("bad" if grave else "good" if calm else "watch"), f"step {event.step}: {event.text}"
        progress.guard(*self._light)
        self._write()

    def _write(self) -> None:
        assert self._guard is not None
        self._keep(self._context.run.guard(self._context.stage), self._guard.story())

    def _keep(self, file: Path, value: Mapping[str, Any]) -> None:
        self._context.processes.first(lambda: write_json(file, value))
