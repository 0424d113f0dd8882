"""Curves of a training stage as inline SVG that follows the page's colours, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmupt.report.names import CHARTS, MEASURED, MEASURED_SHARES, ONLY_IF_IT_MOVES, SHARES
from mmupt.report.reading import Stage, number
from mmupt.report.views import clean

# Colours that stand for a CSS variable each, and are replaced by it in the finished SVG.
_LINE, _INK, _GRID, _WATCH, _BAD = "#010203", "#040506", "#070809", "#010305", "#020406"
_VARIABLES = {
    _LINE: "var(--accent)", _INK: "var(--muted)", _GRID: "var(--rule)", _WATCH: "var(--watch)", _BAD: "var(--bad)"
}  # fmt: skip
_SMOOTH_FROM = 40  # steps; below, the curve is shown as it is ...
_FEW_LEVELS = 5  # ... as is one that moves in stairs

_MOST_MEASURED = 12


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    last: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Mark:
    """A step in which the guard spoke up: a vertical line, in the colour of danger where it is `grave`."""

    step: float
    grave: bool


def charts(stage: Stage, marks: Sequence[Mark] = ()) -> list[Chart]:
    """One chart for each known metric the stage has at least two finite values of."""
    found = []
    for key, title in CHARTS.items():
        points = _finite(stage.series(key))
        if len(points) < 2 or (key in ONLY_IF_IT_MOVES and len({value for _, value in points}) == 1):
            continue
        percent = key in SHARES
        found.append(Chart(title, _shown(points[-1][1], percent), _draw(points, percent=percent, marks=marks)))
    return found


def measured_charts(
    start: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]], best_step: int, marks: Sequence[Mark] = ()
) -> list[Chart]:
    """One chart for each number that was measured of the start (step 0) and at least once more: its curve, the start as
    a dashed line, and a dot where the best model was."""
    found = []
    for key in dict.fromkeys([*MEASURED, *start]):
        records = [{**start, "step": 0}, *measurements]
        points = _finite([(number(record.get("step")), number(record.get(key))) for record in records])
        if len(points) < 2 or points[0][0] != 0 or key == "step":
            continue
        percent = key in MEASURED_SHARES
        best = next((point for point in points if point[0] == best_step), None)
        first, last = _shown(points[0][1], percent).removesuffix(" %"), _shown(points[-1][1], percent)
        svg = _draw(points, percent=percent, marks=marks, start=points[0][1], best=best)
        found.append(Chart(MEASURED.get(key, clean(key.replace("_", " "))), f"{first} → {last}", svg))
    return found[:_MOST_MEASURED]


def _finite(points: Sequence[tuple[float | None, float | None]]) -> list[tuple[float, float]]:
    return [
        (step, value)
        for step, value in points
        if step is not None and value is not None and math.isfinite(step) and math.isfinite(value)
    ]


def _draw(
    points: list[tuple[float, float]],
    *,
    percent: bool,
    marks: Sequence[Mark] = (),
    start: float | None = None,
    best: tuple[float, float] | None = None,
) -> Markup:
    steps, values = [p[0] for p in points], [p[1] for p in points]
    style = {"svg.fonttype": "none", "svg.hashsalt": "mmupt", "path.simplify": True, "font.size": 8}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.6, 1.7))
        axes = figure.add_axes((0.13, 0.13, 0.85, 0.83))  # one place for all, so that charts line up
        smooth = len(points) >= _SMOOTH_FROM and len(set(values)) > _FEW_LEVELS
        axes.plot(steps, values, color=_LINE, linewidth=0.8 if smooth else 1.6, alpha=0.35 if smooth else 1.0)
        if smooth:
            axes.plot(steps, running_mean(values, len(values) // 20), color=_LINE, linewidth=1.6)
        for mark in marks:
            axes.axvline(mark.step, color=_BAD if mark.grave else _WATCH, linewidth=0.9, alpha=0.7, zorder=1)
        if start is not None:
            axes.axhline(start, color=_INK, linewidth=0.8, dashes=(4, 3), zorder=1)
        if best is not None:
            axes.plot(*best, color=_LINE, marker="o", markersize=5)
        low, high = min(values), max(values)
        room = max(0.08 * (high - low), 0.02 if percent else 0.0) or 0.1 * abs(high) or 0.1
        axes.set_ylim(low - room, high + room)
        axes.grid(axis="y", color=_GRID, linewidth=0.6)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=_INK)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if percent:
            digits = 0 if high - low > 0.04 else 1
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _share(value, digits)))
        else:
            # Left to itself matplotlib writes a common factor such as 1e-5 above the axis, where the chart is cut off.
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue())


def _share(value: float, digits: int) -> str:
    """A share at the axis; the room beyond 0 and 1 is there for the line, and nothing is written at it."""
    return f"{100 * abs(value):.{digits}f}%" if -1e-9 < value < 1 + 1e-9 else ""


def running_mean(values: list[float], reach: int) -> list[float]:
    """The mean over each value and up to `reach` neighbours on either side."""
    windows = [values[max(0, i - reach) : i + reach + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _inline(svg: str) -> Markup:
    """Without what only a file of its own needs: prolog, metadata, fixed size, ids of groups, fonts, the style sheet
    (which would speak to the whole page)."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font(?:-family)?: [^;\"]*sans-serif;?", "font-size: 8px;", svg)
    svg = svg.replace("xlink:href", "href")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(re.sub(r"\n\s*", "\n", svg))


def _shown(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"
