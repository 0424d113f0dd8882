"""Measurements as `summary.json` holds them (`Evaluation.summary`): what graders there are, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Result = Mapping[str, Any]


def other_graders(result: Result) -> dict[str, dict[str, Any]]:
    """The figures by the benchmark's own rules, and by the judge; whatever is no table is left out."""
    rules = result.get("rules")
    found = dict(rules) if isinstance(rules, Mapping) else {}
    if "judged" in result:
        found["judge"] = result["judged"]
    return {str(name): figures for name, figures in found.items() if isinstance(figures, dict)}


def main_figures_of(k: object) -> tuple[str, ...]:
    """The names of the main figures of a measurement with k samples."""
    return ("greedy", f"mean@{k}", f"maj@{k}", f"pass@{k}")


def results_table(
    title: str, key: Literal["stage", "set"], results: Sequence[Result]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: the main figures, then mean@k by every other grader that any of the results has; per cent with
    intervals. `key` is what the rows differ in."""
    k = results[0]["k"]
    graders = dict.fromkeys(name for result in results for name in other_graders(result))
    rows = []
    for result in results:
        others = other_graders(result)
        cells = [_figure(result, figure) for figure in main_figures_of(k)]
        cells += [_figure(others[name], f"mean@{k}") if name in others else "" for name in graders]
        rows.append([str(result[key]), *cells])
    return [title, *main_figures_of(k), *(f"{name} mean@{k}" for name in graders)], rows


def _figure(figures: Result, name: str) -> str:
    low, high = figures[f"{name}_interval"]
    return f"{100 * figures[name]:.1f} ({100 * low:.1f}-{100 * high:.1f})"
