"""Figure 2 of the paper in miniature: what MM-UPT does to reward, entropy, accuracy and effective rank, by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from mmupt.reproduce.kept import Curves

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SEED, MEAN = "#94a3b8", "#1d4ed8"


def draw(curves: Mapping[int, Curves], file: Path) -> None:
    """Writes `file` (PNG): four panels, a thin line a seed and their mean over the steps that all of them have."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2))
    panels: list[tuple[str, list[tuple[Sequence[float], Sequence[float]]]]] = [
        ("majority reward", [_stepwise(c.reward) for c in curves.values()]),
        ("semantic entropy, nats", [_stepwise(c.semantic_entropy) for c in curves.values()]),
        ("accuracy of the answers, %", [_stepwise([100 * a for a in c.accuracy]) for c in curves.values()]),
        ("effective rank", [([s for s, _ in c.rank], [v for _, v in c.rank]) for c in curves.values()]),
    ]
    for axis, (title, lines) in zip(axes, panels, strict=True):
        for steps, values in lines:
            axis.plot(steps, values, color=SEED, lw=1)
        common = min((len(values) for _, values in lines), default=0)
        if common:
            axis.plot(lines[0][0][:common], np.mean([v[:common] for _, v in lines], axis=0), color=MEAN, lw=2)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("step")
        axis.grid(axis="y", color="#e2e8f0", lw=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [
        plt.Line2D([], [], color=SEED, lw=1, label="a seed"),
        plt.Line2D([], [], color=MEAN, lw=2, label="mean"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    figure.savefig(file, dpi=100)
    plt.close(figure)


def _stepwise(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    return range(1, len(values) + 1), values
