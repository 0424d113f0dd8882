"""What a run shows while it goes: one line a step, and on a terminal a bar a stage with the time left and, below it,
the run's signals, its guard and the vote of the last group (`dashboard.py`).

Where the output is no terminal, or MMUPT_PLAIN is set, there are plain lines and no control characters. Text is never
read as markup, and what could steer a terminal (escape codes, direction overrides) is shown as U+FFFD: questions and
responses end up here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from mmupt.runtime.dashboard import Ballot, Dashboard, Light
from mmupt.runtime.files import well_formed

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMATS = {"unreadable": "{:.0%}", "truncated": "{:.0%}", "len": "{:.0f}", "length": "{:.0f}", "lr": "{:.1e}"}


PLAIN = "MMUPT_PLAIN"
"""The environment variable that makes a terminal be treated like a file, unless it is empty or 0."""


class _Bars(Bars):
    """The bar, and below it the dashboard."""

    def __init__(self, dashboard: Dashboard, *columns: ProgressColumn, console: Console) -> None:
        self._dashboard = dashboard
        super().__init__(
            *columns,
            console=console,
            refresh_per_second=4,
            speed_estimate_period=3600,  # seconds; steps can take minutes
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield self._dashboard


class Progress:
    """The display of one run, on `file` (standard output unless told). Use it in a `with` block."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        plain = os.environ.get(PLAIN, "") not in ("", "0")
        self._terminal = self._file.isatty() and not plain  # rich would let environment variables overrule this
        self._console = Console(
            file=self._file, force_terminal=self._terminal, highlight=False, markup=False, emoji=False
        )
        self._dashboard = Dashboard(_clean)
        self._bars: Bars | None = None
        self._bar: TaskID | None = None

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """From here on steps belong to stage `name`, of `total` steps, `done` of them before a resume; its bar takes
        the place of the one before."""
        self._dashboard.begin()
        if self._bars is not None:
            if self._bar is not None:
                self._bars.remove_task(self._bar)
            self._bar = self._bars.add_task(_clean(name), total=total, completed=done)

    def step(
        self, n: int, total: int, fields: Mapping[str, float | str], aside: Mapping[str, float] | None = None
    ) -> None:
        """Shows that step `n` of `total`, counted from 1, is done: `step 12/60  reward 0.61  unreadable 2%  1.9 s`.

        A field called `seconds` is the step's duration; shares called `unreadable` and `truncated` become percentages.
        `aside` are numbers for the dashboard alone (`tokens_per_second`).
        """
        width = len(str(total))
        self._dashboard.step(fields, aside or {})
        parts = [f"step {n:>{width}}/{total}", *(_field(name, value) for name, value in fields.items())]
        self._line("  ".join(parts))
        self.advance(n, total)

    def advance(self, n: int, total: int) -> None:
        """Moves the bar to `n` of `total` without a line of its own; nothing where there is no bar."""
        if self._bars is not None:
            if self._bar is None:
                self._bar = self._bars.add_task("", total=total)
            self._bars.update(self._bar, completed=n, total=total)

    def note(self, text: str) -> None:
        """Shows a text as it stands."""
        self._line(text)

    def guard(self, light: Light, text: str) -> None:
        """How the guard sees the stage now, for the dashboard: a light, and the last event in words."""
        self._dashboard.light, self._dashboard.said = light, text
        self._dashboard.version += 1

    def vote(self, ballot: Ballot) -> None:
        """The vote of a group, for the dashboard, which shows one a second at most."""
        self._dashboard.ballot = ballot

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Shows a table; the first column is flush left, the others right."""
        cells = [[_clean(str(cell)) for cell in row] for row in rows]
        if self._terminal:
            table = Table(title=Text(_clean(title)), title_justify="left")
            for index, column in enumerate(columns):
                table.add_column(Text(_clean(column)), justify="left" if index == 0 else "right")
            for row in cells:
                table.add_row(*map(Text, row))
            self._console.print(table)
            return
        lines = [[_clean(column) for column in columns], *cells]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        self._line(title)
        for line in lines:
            padded = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
            self._line("  ".join([line[0] + padded[0], *(p + c for p, c in zip(padded[1:], line[1:], strict=True))]))

    def __enter__(self) -> Self:
        if self._terminal:
            self._bars = _Bars(
                self._dashboard,
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left", markup=False),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars, self._bar = None, None

    def _line(self, text: str) -> None:
        text = _clean(text).rstrip()
        if self._terminal:
            self._console.print(Text(text), soft_wrap=True)  # above the bar, which moves down
            return
        encoding = self._file.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self._file, flush=True)


def _field(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return f"{name} {value}"
    if name == "seconds":
        return f"{value:.1f} s"
    if name in _FORMATS:
        return f"{name} {_FORMATS[name].format(value)}"
    if isinstance(value, int) or value == 0:
        return f"{name} {value:g}"
    return f"{name} {value:.2f}" if abs(value) >= 0.01 else f"{name} {value:.1g}"


def _clean(text: str) -> str:
    return _STEERING.sub("�", well_formed(text)).replace("\n", "\n  ")
