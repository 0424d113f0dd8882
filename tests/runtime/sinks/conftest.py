"""A run folder to log in, and a sink that notes what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import mmupt.runtime.sinks.log as sink_log
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.sinks.base import About, Sink
from mmupt.runtime.sinks.settings import SinkSettings


class Noting(Sink):
    """Everything that all sinks of this class have been told, over resumes; `fails` is where it raises."""

    package: ClassVar[str] = "json"

    def __init__(self, told: list[tuple[Any, ...]], fails: str = "") -> None:
        self.told, self.fails = told, fails

    def _note(self, *what: Any) -> None:
        if what[0] == self.fails:
            raise ConnectionError(f"no\nnetwork for {what[0]}")
        self.told.append(what)

    def begin(self, about: About, run_id: str | None) -> str | None:
        self._note("begin", about.name, run_id)
        return "id-1"

    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._note("figures", series, step, dict(values))

    def event(self, series: str, step: int, text: str) -> None:
        self._note("event", series, step, text)

    def end(self, *, finished: bool) -> None:
        self._note("end", finished)


@pytest.fixture
def told() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path / "run")


@pytest.fixture
def notes() -> list[str]:
    """What the user was told."""
    return []


@pytest.fixture
def open_noting(
    layout: RunLayout, told: list[tuple[Any, ...]], notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., MetricsLog]:
    """`open_noting(fails="figures")`: the log with a noting sink, as a run or a resumed run opens it."""

    def _open(fails: str = "") -> MetricsLog:
        monkeypatch.setattr(sink_log, "make_sinks", lambda settings: {"noting": Noting(told, fails)})
        return sink_log.open_log(SinkSettings(), layout, "mine", {"seed": 0}, notes.append)

    return _open


@pytest.fixture
def guard_says(layout: RunLayout) -> Callable[[list[tuple[int, str]]], None]:
    """Writes guard/upt.json with these events."""

    def _says(events: list[tuple[int, str]]) -> None:
        layout.guard("upt").parent.mkdir(parents=True, exist_ok=True)
        layout.guard("upt").write_text(json.dumps({"events": [{"step": s, "text": t} for s, t in events]}))

    return _says
