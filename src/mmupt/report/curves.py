"""Curves of a training stage as inline SVG that follows the page's colours, light or dark."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmupt.report.reading import Stage

# Colours that stand for a CSS variable each, and are replaced by it in the finished SVG.
_LINE, _INK, _GRID = "#010203", "#040506", "#070809"
_VARIABLES = {_LINE: "var(--accent)", _INK: "var(--muted)", _GRID: "var(--rule)"}
_SMOOTH_FROM = 40  # steps; below, the curve is shown as it is

_CHARTS = {
    "reward": "reward",
    "share": "majority share",
    "semantic_entropy": "semantic entropy",
    "unreadable": "unreadable answers",
    "truncated": "truncated responses",
    "length": "response length, tokens",
    "entropy": "token entropy",
    "kl": "KL to the reference",
    "loss": "loss",
    "grad_norm": "gradient norm",
    "zero_signal_groups": "groups without signal",
    "ties": "tied votes",
}
_SHARES = {"share", "unreadable", "truncated", "zero_signal_groups", "ties"}


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    last: str
    svg: Markup


def charts(stage: Stage) -> list[Chart]:
    """One chart for each known metric the stage has at least two finite values of."""
    found = []
    for key, title in _CHARTS.items():
        points = [(step, value) for step, value in stage.series(key) if math.isfinite(step) and math.isfinite(value)]
        if len(points) >= 2:
            found.append(Chart(title, _shown(points[-1][1], key in _SHARES), _draw(points, percent=key in _SHARES)))
    return found


def _draw(points: list[tuple[float, float]], *, percent: bool) -> Markup:
    steps, values = [p[0] for p in points], [p[1] for p in points]
    style = {"svg.fonttype": "none", "svg.hashsalt": "mmupt", "path.simplify": True, "font.size": 8}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.6, 1.7))
        axes = figure.add_axes((0.13, 0.13, 0.85, 0.83))  # one place for all, so that charts line up
        smooth = len(points) >= _SMOOTH_FROM
        axes.plot(steps, values, color=_LINE, linewidth=0.8 if smooth else 1.6, alpha=0.35 if smooth else 1.0)
        if smooth:
            axes.plot(steps, running_mean(values, len(values) // 20), color=_LINE, linewidth=1.6)
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
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.{digits}f}%"))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue())


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
