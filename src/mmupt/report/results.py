"""What the page shows of measurements: a table a set, the same broken down, and what other graders say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmupt.evals.results import main_figures_of, other_graders
from mmupt.report.comparison import interval, verdict
from mmupt.report.reading import RunData, number
from mmupt.report.views import clean

_VALUES_SHOWN = 60  # rows of one breakdown on the page; evals/<name>.json has all of them


@dataclass(frozen=True, slots=True)
class Figure:
    """An accuracy with its interval in per cent; `change` and `verdict` (see `comparison`) are against
    the row above."""

    text: str
    value: float
    low: float | None
    high: float | None
    change: str
    verdict: int


@dataclass(frozen=True, slots=True)
class ResultRow:
    name: str
    questions: str
    figures: tuple[Figure | None, ...]
    unreadable: str


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One measurement by the values of one key: rows of text under `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ResultTable:
    """All measurements of one set, in their order."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    breakdowns: tuple[Breakdown, ...]


def result_tables(run: RunData) -> list[ResultTable]:
    """One table a set that was measured; none where nothing was. The title is empty where there is only one set."""
    sets = run.results_by_set()
    return [_table(run, clean(name) if len(sets) > 1 else "", results) for name, results in sets.items()]


def _table(run: RunData, title: str, results: Sequence[dict[str, Any]]) -> ResultTable:
    counts = {row.get("k") for row in results}
    shown_k = str(counts.pop()) if len(counts) == 1 else "k"
    graders = list(dict.fromkeys(name for row in results for name in other_graders(row)))
    rows = []
    for above, row in zip([None, *results], results, strict=False):
        k = row.get("k")
        keys = main_figures_of(k)
        others = other_graders(row)
        unreadable = number(row.get("unreadable"))
        rows.append(
            ResultRow(
                name=clean(row.get("stage", row.get("name", "?"))),
                questions=clean(row.get("n", "")),
                figures=(
                    *(_figure(run, above, row, key) for key in keys),
                    *(_figure(run, None, others.get(name, {}), f"mean@{k}") for name in graders),
                ),
                unreadable="" if unreadable is None else f"{100 * unreadable:.1f} %",
            )
        )
    columns = main_figures_of(shown_k)
    named = tuple(f"{clean(name)}: mean@{shown_k}" for name in graders)
    return ResultTable(title, (*columns, *named), tuple(rows), tuple(b for row in results for b in _breakdowns(row)))


def _breakdowns(row: Mapping[str, Any]) -> Iterator[Breakdown]:
    name, k = clean(row.get("name", "?")), row.get("k")
    metric = row.get("metric")
    if isinstance(metric, dict):
        figures = list(dict.fromkeys(figure for values in metric.values() for figure in values))
        rows = [(clean(figure), *(_percentage(values.get(figure)) for values in metric.values())) for figure in figures]
        yield Breakdown(f"{name}: its own metric", ("", *map(clean, metric)), tuple(rows))
    breakdowns = row.get("breakdowns")
    keys = main_figures_of(k)
    for key, parts in breakdowns.items() if isinstance(breakdowns, dict) else ():
        lines = [
            (clean(value), *(_percentage(part.get(figure)) for figure in keys), clean(part.get("n", "")))
            for value, part in list(parts.items())[:_VALUES_SHOWN]
        ]
        yield Breakdown(f"{name} by {clean(key)}", (clean(key), *keys, "questions"), tuple(lines))


def _percentage(value: object) -> str:
    found = number(value)
    return "–" if found is None else f"{100 * found:.1f}"


def _figure(run: RunData, above: dict[str, Any] | None, row: dict[str, Any], key: str) -> Figure | None:
    value = number(row.get(key))
    if value is None:
        return None
    low, high = interval(row, key) or (None, None)
    before = None if above is None else number(above.get(key))
    return Figure(
        text=f"{100 * value:.1f}",
        value=_percent(value),
        low=None if low is None else _percent(low),
        high=None if high is None else _percent(high),
        change="" if before is None else f"{100 * (value - before):+.1f}",
        verdict=0 if above is None else verdict(run, above, row, key),
    )


def _percent(value: float) -> float:
    """Within 0 to 100, so that a bar stays in its cell whatever the file says."""
    return round(100 * min(max(value, 0.0), 1.0), 2) if value == value else 0.0
