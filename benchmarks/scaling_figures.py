"""The figures of benchmarks/scaling.py: time and memory, one panel a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

AXES = {
    "G": ("group", "rollouts of a group, G"),
    "P": ("prompt", "prompt tokens, P"),
    "R": ("completion", "completion tokens, R"),
}
LINES: dict[str, dict[str, Any]] = {
    "naive": {"label": "naive: prompt and picture repeated", "color": "#c2410c", "marker": "s"},
    "ours": {"label": "ours: one packed row", "color": "#1d4ed8", "marker": "o"},
    "floor": {"label": "counted FLOPs at the best rate measured", "color": "#475569", "linestyle": "--"},
}
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "lines.markersize": 5}


def draw(result: dict[str, Any], folder: Path) -> None:
    """scaling-time.png and scaling-memory.png in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    times = {
        name: {
            "naive": [point["seconds"]["naive"] for point in points],
            "ours": [point["seconds"]["ours"] for point in points],
            "floor": [point["flops"]["ours"] / result["ceiling"] for point in points],
        }
        for name, points in result["sweeps"].items()
    }
    _figure(result, times, "forward and backward of a group, s", folder / "scaling-time.png")
    memory = {
        name: {side: [(p["memory"][side]["grown"] or 0) / 2**20 for p in points] for side in ("naive", "ours")}
        for name, points in result["sweeps"].items()
    }
    _figure(result, memory, "peak memory above the loaded model, MiB", folder / "scaling-memory.png")


def _figure(result: dict[str, Any], lines: dict[str, dict[str, list[float]]], title: str, file: Path) -> None:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.5), layout="constrained")
        panels = figure.subplots(1, len(lines), sharey=True)
        for axes, (sweep, values) in zip(panels, lines.items(), strict=True):
            _panel(axes, result["sweeps"][sweep], sweep, values)
        panels[0].set_ylabel(title)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.savefig(file, dpi=110, metadata={"Software": None})


def _panel(axes: Axes, points: list[dict[str, Any]], sweep: str, values: dict[str, list[float]]) -> None:
    key, label = AXES[sweep]
    x = [point[key] for point in points]
    for line, y in values.items():
        axes.plot(x, y, linewidth=1.8, **LINES[line])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(x, [str(value) for value in x])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color="#e2e8f0", linewidth=0.7)
    axes.set_xlabel(label)
    fixed = [f"{name} {points[0][field]}" for name, (field, _) in AXES.items() if name != sweep]
    axes.set_title(", ".join(fixed), fontsize=10)
