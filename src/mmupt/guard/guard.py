"""The guard of a label-free stage: looks, compares with the stage's own start, and decides. It touches neither weights
nor rewards; `train/guarding.py` does what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmupt.guard.bounds import SCORE, Reading, anchors, better, figures, read_groups, read_watch
from mmupt.guard.gate import LEAST_SHARE, features, shut_reason
from mmupt.guard.ladder import Event, Ladder
from mmupt.guard.settings import Action, GuardSettings
from mmupt.guard.trends import Trends
from mmupt.guard.watch import FEWEST, Measurement, Watching
from mmupt.rewards.teacher import Label
from mmupt.types import GroupScore, RolloutGroup

__all__ = ["Event", "Guard", "Verdict"]

_FIELD = "guard/"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a step: `fields` for metrics, `events` to tell, `actions` to do (only allowed ones), and
    whether the model is the best so far by the label-free score."""

    fields: Mapping[str, float] = field(default_factory=dict)
    events: Sequence[Event] = ()
    best: bool = False

    @property
    def actions(self) -> frozenset[Action]:
        return frozenset(action for event in self.events for action in event.done)


class Guard:
    """`begin` before the first step, `observe` behind each, `finish` behind the last. `shut` says after `begin` whether
    the stage should not begin at all. `state` and `load_state` carry everything over a resume; `legacy` and `inherit`
    carry what was seen from one stage to the next."""

    def __init__(self, settings: GuardSettings, watch: Watching) -> None:
        self.settings = settings
        self.shut = False
        self._watch = watch
        self._labels: dict[str, Label] = {}
        self._start: Measurement | None = None
        self._best: Measurement | None = None
        self._trends = Trends()
        self._ladder = Ladder(settings)
        self._calm = 0
        self._frozen = False
        self._newest: Measurement | None = None
        self._events: list[Event] = []
        self._measurements: list[dict[str, float]] = []
        self._bounds: dict[str, dict[str, Any]] = {}
        self._stopped_at: int | None = None
        self._rolled_back_to: int | None = None

    def legacy(self) -> dict[str, Any]:
        """What a guard that follows this one goes by. `ended` says that nothing should follow."""
        return {
            "ended": self.shut or self._stopped_at is not None,
            "labels": {prompt_id: label.as_json() for prompt_id, label in self._labels.items()},
            "start": self._start.as_json() if self._start else None,
            "best": self._best.as_json() if self._best else None,
            "slowed": self._ladder.slowed,
            "frozen": self._frozen,
        }

    def inherit(self, legacy: Mapping[str, Any]) -> None:
        """In place of `begin`: start and best model are those of the stage that is followed, whose last model is step 0
        of this one. The watched prompts must be the same."""
        self._labels = {prompt_id: Label(*entry) for prompt_id, entry in legacy["labels"].items()}
        self._start = Measurement.from_json(legacy["start"]) if legacy["start"] else None
        best = Measurement.from_json(legacy["best"]) if legacy["best"] else None
        self._best = replace(best, step=0) if best else None
        self._ladder.slowed, self._frozen = legacy["slowed"], legacy["frozen"]

    def begin(self) -> list[Event]:
        """Asks the start for its answers, and measures it against them."""
        if not len(self._watch):
            return []
        labels = self._watch.labels()
        start = self._watch.measure(0, labels)
        if len(start.prompts) < FEWEST:
            return []
        self._labels, self._start, self._best = labels, start, start
        found = features(labels, start)
        reason = shut_reason(found)
        if reason is None:
            return []
        self.shut = self.settings.gate and "stop" in self.settings.actions
        follows = (
            "training does not begin (guard.gate = false begins nonetheless)"
            if self.shut
            else "training begins all the same, as guard.gate or guard.actions has it"
        )
        done: tuple[Action, ...] = ("stop",) if self.shut else ()
        not_done: tuple[Action, ...] = () if self.shut else ("stop",)
        share = found["share"]
        event = Event(0, "stop", "gate", f"{reason}: {follows}", share, share, LEAST_SHARE, done, not_done)
        return self._tell([event])

    def observe(
        self, step: int, groups: Sequence[RolloutGroup], scores: Sequence[GroupScore], record: Mapping[str, float]
    ) -> Verdict:
        """What step `step` (from 1) shows: the training groups at every step, the watch set at every `every`-th."""
        fields = self._trends.add(groups, scores, record)
        self._calm += 1
        best = False
        events = self._ladder.collapsed(step, read_groups(self._trends.last_step(), self.settings), self._back_to)
        if not events and step % self.settings.every == 0:
            measured, events, best = self._measure(step)
            fields |= measured
        if not events and self.settings.refresh_every and self._calm >= self.settings.refresh_every:
            events = self._refresh(step)
        self._tell(events)
        return Verdict({f"{_FIELD}{name}": value for name, value in fields.items()}, events, best)

    def finish(self, step: int) -> Verdict:
        """The last weights against the best ones: back to those where the score has clearly fallen, with no patience,
        as nothing can follow any more. After a rollback at this very step there is nothing left to see."""
        if self._start is None or self._best is None or self._rolled_back_at(step):
            return Verdict()
        now = self._measured_now(step)
        readings = read_watch(self._labels, self._start, self._best, now, self.settings)
        fallen = [r for r in readings if (r.signal.name == SCORE and r.out) or r.collapsed]
        if not fallen or any("rollback" in event.not_done for event in self._events):  # said before: not allowed
            return Verdict()
        events = [self._ladder.event(step, fallen[0], ("rollback",), self._back_to)]
        return Verdict(events=self._tell(events))

    def story(self) -> dict[str, Any]:
        """What `guard/<stage>.json` says (docs/guard.md)."""
        start = self._start
        return {
            "watched": len(start.prompts) if start else 0,
            "skipped": start.skipped if start else 0,
            "anchors": len(anchors(self._labels, self.settings, start)) if start else 0,
            "note": None if start else _NO_WATCH,
            "shut": self.shut,
            "start": figures(self._labels, start, start, self.settings) if start else {},
            "gate": features(self._labels, start) if start else {},
            "measurements": self._measurements,
            "bounds": self._bounds,
            "events": [event.as_json() for event in self._events],
            "best_step": self._back_to,
            "stopped_at": self._stopped_at,
            "rolled_back_to": self._rolled_back_to,
        }

    def state(self) -> dict[str, Any]:
        return {
            "labels": {prompt_id: label.as_json() for prompt_id, label in self._labels.items()},
            "start": self._start.as_json() if self._start else None,
            "best": self._best.as_json() if self._best else None,
            "trends": self._trends.state(),
            "ladder": self._ladder.state(),
            "calm": self._calm,
            "frozen": self._frozen,
            "events": [event.as_json() for event in self._events],
            "measurements": list(self._measurements),
            "bounds": self._bounds,
            "stopped_at": self._stopped_at,
            "rolled_back_to": self._rolled_back_to,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._labels = {prompt_id: Label(*entry) for prompt_id, entry in state["labels"].items()}
        self._start = Measurement.from_json(state["start"]) if state["start"] else None
        self._best = Measurement.from_json(state["best"]) if state["best"] else None
        self._trends = Trends.of(state["trends"])
        self._ladder.load_state(state["ladder"])
        self._calm, self._frozen = state["calm"], state["frozen"]
        self._events = [Event.from_json(event) for event in state["events"]]
        self._measurements = list(state["measurements"])
        self._bounds = dict(state["bounds"])
        self._stopped_at, self._rolled_back_to = state["stopped_at"], state["rolled_back_to"]

    @property
    def _back_to(self) -> int:
        """The step of the best model so far, 0 for the start."""
        return self._best.step if self._best else 0

    def _measure(self, step: int) -> tuple[dict[str, float], list[Event], bool]:
        """(fields, events, whether this is the best model so far)."""
        trends = self._trends.since_measured()
        self._trends.measured()
        readings = read_groups(trends, self.settings)
        fields: dict[str, float] = {}
        now: Measurement | None = None
        if self._start is not None and self._best is not None:
            now = self._newest = self._watch.measure(step, self._labels)
            fields = figures(self._labels, self._start, now, self.settings)
            readings += read_watch(self._labels, self._start, self._best, now, self.settings)
        self._measurements.append({"step": step, **{name: t.value for name, t in trends.items()}, **fields})
        self._bounds = {r.signal.name: _told(r) for r in readings}
        events = self._ladder.collapsed(step, readings, self._back_to)
        events = events or self._ladder.measured(step, readings, self._back_to)
        if any(r.out for r in readings):
            self._calm = 0
        best = False
        if now is not None and self._best is not None and not any(r.out and r.signal.acts for r in readings):
            best = better(self._labels, self._best, now)
            self._best = now if best else self._best
        return fields, events, best

    def _measured_now(self, step: int) -> Measurement:
        if self._newest is not None and self._newest.step == step:
            return self._newest
        now = self._watch.measure(step, self._labels)
        assert self._start is not None
        self._measurements.append({"step": step, **figures(self._labels, self._start, now, self.settings)})
        return now

    def _refresh(self, step: int) -> list[Event]:
        calm, self._calm = self._calm, 0
        if self._frozen:
            return []
        text = f"no signal out of its bound for {calm} steps: the teacher becomes the model of now"
        return [Event(step, "refresh", "calm", text, calm, 0, self.settings.refresh_every, ("refresh",))]

    def _tell(self, events: list[Event]) -> list[Event]:
        for event in events:
            self._events.append(event)
            if "rollback" in event.done:
                self._rolled_back_to, self._calm = self._back_to, 0
                self._trends.measured()  # what those steps showed belongs to weights that are gone
            if "stop" in event.done:
                self._stopped_at = event.step
            self._frozen = self._frozen or "freeze" in event.done
        return events

    def _rolled_back_at(self, step: int) -> bool:
        return any(event.step == step and "rollback" in event.done for event in self._events)


_NO_WATCH = (
    "no prompts were watched (guard.watch = 0, or the pool is too small for it): there is no label-free score and no "
    "best step, only what the training groups show was looked at, and a rollback goes back to the start"
)


def _told(reading: Reading) -> dict[str, Any]:
    return {
        "says": reading.signal.says,
        "value": reading.value,
        "start": reading.start,
        "bound": reading.bound,
        "out": reading.out,
        "acts": reading.signal.acts,
    }
