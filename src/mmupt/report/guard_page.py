"""The guard's part of a stage on the report's page: what it did, its events, and the curves of what it measured."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.report.curves import Chart, Mark, measured_charts
from mmupt.report.guard import (
    EventRow,
    SignalRow,
    Story,
    event_rows,
    is_grave,
    signal_rows,
    what_it_did,
    what_it_watched,
)

_EVENTS_SHOWN = 40  # on the page; guard/<stage>.json has all of them


@dataclass(frozen=True, slots=True)
class GuardView:
    """The guard's part of a stage on the page."""

    did: str
    watched: str
    rows: tuple[EventRow, ...]
    more: int
    signals: tuple[SignalRow, ...]
    charts: tuple[Chart, ...]


def guard_view(story: Story) -> GuardView:
    return GuardView(
        did=f"It {what_it_did(story)}.",
        watched=what_it_watched(story),
        rows=event_rows(story)[:_EVENTS_SHOWN],
        more=max(0, len(story.events) - _EVENTS_SHOWN),
        signals=signal_rows(story)[:_EVENTS_SHOWN],
        charts=tuple(measured_charts(story.start, story.measurements, story.best_step, marks(story))),
    )


def marks(story: Story | None) -> list[Mark]:
    """Where the guard spoke up, for every curve of its stage."""
    if story is None:
        return []
    grave = {event.step for event in story.events if is_grave(event)}
    spoke = {event.step for event in story.events if event.done != ("refresh",)}
    return [Mark(step, step in grave) for step in sorted(spoke)]
