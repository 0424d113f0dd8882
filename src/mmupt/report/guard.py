"""What the guard of a stage saw and did, from `guard/<stage>.json`: for pages, advice, terminal and summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmupt.report.reading import Stage, number
from mmupt.report.views import clean
from mmupt.runtime.layout import RunLayout

_DONE = {
    "warn": "warned",
    "slow": "slowed down",
    "freeze": "froze the teacher",
    "refresh": "refreshed the teacher",
    "rollback": "went back",
    "stop": "stopped",
}
"""The actions of `[guard]`, mildest first, as a reader is told of them."""
_GRAVE = ("rollback", "stop")
_FIGURES = ("start", "gate", "measurements", "bounds")  # of a story: what a summary does without
_STEPS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One thing the guard saw in step `step` (0: before the first), `text` a sentence about it.

    `done` is what followed, "warn" where it was only told; `not_done` is what would have followed if the settings
    allowed it. Numbers are None where there are none.
    """

    step: int
    done: tuple[str, ...]
    not_done: tuple[str, ...]
    signal: str
    text: str
    value: float | None
    start: float | None
    bound: float | None


@dataclass(frozen=True, slots=True)
class Story:
    """The guard of one stage. Step 0 is the model the stage began with; `steps` were trained. `bounds` has every signal
    as it was at the last measurement."""

    stage: str
    steps: int
    watched: int
    anchors: int
    shut: bool
    start: dict[str, Any]
    measurements: list[dict[str, Any]]
    bounds: dict[str, dict[str, Any]]
    events: list[Event]
    best_step: int
    stopped_at: int | None
    rolled_back_to: int | None

    @classmethod
    def of(cls, stage: Stage) -> Story | None:
        """None where the stage had no guard, or its story cannot be read."""
        raw = stage.guard
        if raw is None:
            return None
        start, bounds = raw.get("start"), raw.get("bounds")
        return cls(
            stage=stage.name,
            steps=len(stage.records),
            watched=_whole(raw.get("watched")) or 0,
            anchors=_whole(raw.get("anchors")) or 0,
            shut=raw.get("shut") is True,
            start=start if isinstance(start, dict) else {},
            measurements=_objects(raw.get("measurements")),
            bounds={k: v for k, v in bounds.items() if isinstance(v, dict)} if isinstance(bounds, dict) else {},
            events=[_event(event) for event in _objects(raw.get("events"))],
            best_step=_whole(raw.get("best_step")) or 0,
            stopped_at=_whole(raw.get("stopped_at")),
            rolled_back_to=_whole(raw.get("rolled_back_to")),
        )

    def steps_of(self, action: str) -> list[int]:
        """The steps in which the guard did this, in order."""
        return list(dict.fromkeys(event.step for event in self.events if action in event.done))

    @property
    def decisive(self) -> Event | None:
        """The gravest event, the latest of its kind; None where there is none but a refreshed teacher."""
        for action in ("stop", "rollback", "slow", "freeze", "warn"):
            for event in reversed(self.events):
                if action in event.done:
                    return event
        return None

    @property
    def only_told(self) -> bool:
        """Whether all that was seen were signals that the guard tells of and does not act on."""
        return all(self.bounds.get(event.signal, {}).get("acts") is False for event in self.events)

    @property
    def handed_on(self) -> int | None:
        """The step whose model the stage handed on because the guard went back to it and no step followed."""
        back = self.steps_of("rollback")
        return self.rolled_back_to if back and back[-1] >= self.steps else None


def what_it_did(story: Story) -> str:
    """One plain line: "warned in steps 30 and 34, slowed down in step 40, went back to step 30 in step 52"."""
    if story.shut:
        return "did not let training begin; the model is the one the stage began with"
    done = []
    for action, words in _DONE.items():
        if steps := story.steps_of(action):
            single = action == "rollback" and len(steps) == 1 and story.rolled_back_to is not None
            to = f" to {step_name(story.rolled_back_to or 0)}" if single else ""
            done.append(f"{words}{to} {_when(steps)}")
    if not done:
        line = f"saw nothing out of bounds in {story.steps} step{'s' if story.steps != 1 else ''}"
        return line if story.measurements else f"{line}, too few for a measurement"
    line = ", ".join(done)
    if held := dict.fromkeys(action for event in story.events for action in event.not_done):
        line += f" (not allowed: {', '.join(held)})"
    return line if story.handed_on is None else f"{line}; the model is that of {step_name(story.handed_on)}"


def what_it_watched(story: Story) -> str:
    """One sentence on what the guard had to go by."""
    if not story.watched:
        return (
            "No questions were kept out of training for it (guard.watch = 0, or too few: it takes a tenth of them, and "
            "no fewer than 8), so it had only the training groups to go by."
        )
    return (
        f"{story.watched} questions were kept out of training and answered again and again; on {story.anchors} of them "
        "the start model was nearly unanimous (the anchors)."
    )


def step_name(step: int) -> str:
    """ "step 12", or "the start", which is step 0."""
    return f"step {step}" if step else "the start"


def in_brief(run: RunLayout, stages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What `summary.json` says of the guard of each stage that has one: its story without the figures."""
    files = {stage: file for stage in stages if (file := run.guard(stage)).exists()}
    stories = {stage: json.loads(file.read_text(encoding="utf-8")) for stage, file in files.items()}
    return {stage: {k: v for k, v in story.items() if k not in _FIGURES} for stage, story in stories.items()}


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as text that is safe to put into HTML once escaped; `level` is "bad", "watch" or "info"."""

    step: str
    level: str
    done: tuple[str, ...]
    not_done: tuple[str, ...]
    signal: str
    text: str
    start: str
    value: str
    bound: str


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal at the last measurement, in words."""

    says: str
    start: str
    value: str
    bound: str
    out: bool
    acts: bool


def event_rows(story: Story) -> tuple[EventRow, ...]:
    """The events in order."""
    return tuple(map(_row, story.events))


def signal_rows(story: Story) -> tuple[SignalRow, ...]:
    """Every signal at the last measurement."""
    return tuple(_signal(name, reading) for name, reading in story.bounds.items())


def is_grave(event: Event) -> bool:
    """Whether the guard went back or ended the stage."""
    return any(action in _GRAVE for action in event.done)


def _event(raw: Mapping[str, Any]) -> Event:
    action = str(raw.get("action", "warn"))
    done = _texts(raw["done"]) if "done" in raw else [action]
    return Event(
        step=_whole(raw.get("step")) or 0,
        done=tuple(done or ["warn"]),
        not_done=tuple(name for name in _texts(raw.get("not_done")) if name != "warn"),
        signal=str(raw.get("signal", "")),
        text=str(raw.get("text", "")),
        value=number(raw.get("value")),
        start=number(raw.get("start")),
        bound=number(raw.get("bound")),
    )


def _row(event: Event) -> EventRow:
    return EventRow(
        step="start" if event.step == 0 else str(event.step),
        level="bad" if is_grave(event) else "info" if event.done == ("refresh",) else "watch",
        done=tuple(_DONE.get(action, clean(action)) for action in event.done),
        not_done=tuple(clean(action) for action in event.not_done),
        signal=clean(event.signal.replace("_", " ")),
        text=clean(event.text, 500),
        start=_figure(event.start),
        value=_figure(event.value),
        bound=_figure(event.bound),
    )


def _signal(name: str, reading: Mapping[str, Any]) -> SignalRow:
    start, value, bound = (_figure(number(reading.get(key))) for key in ("start", "value", "bound"))
    says = clean(reading.get("says") or name)
    return SignalRow(says, start, value, bound, reading.get("out") is True, reading.get("acts") is True)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _when(steps: list[int]) -> str:
    if steps == [0]:
        return "before the first step"
    if len(steps) > _STEPS_NAMED:
        return f"{len(steps)} times (steps {steps[0]} to {steps[-1]})"
    named = ", ".join(map(str, steps[:-1]))
    return f"in steps {named} and {steps[-1]}" if named else f"in step {steps[-1]}"


def _whole(value: object) -> int | None:
    found = number(value)
    return int(found) if found is not None and abs(found) < 1e12 else None


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
