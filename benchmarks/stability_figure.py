"""The figure of benchmarks/stability.py: for each kind of start, where plain voting and the default end, by seed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from stability_runs import Bench, Case

START, VOTE, PLAIN, DEFAULT = "#475569", "#94a3b8", "#c2410c", "#1d4ed8"


def draw(bench: Bench, worlds: Collection[str], seeds: int, folder: Path) -> Path:
    """`stability.png` in `folder`: mean@8 of a seed before and after, the vote of its start as a mark."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(worlds), figsize=(11, 3.6), sharey=True)
    for axis, world in zip(axes, worlds, strict=True):
        for seed in range(seeds):
            plain, default = Case(world, seed, "plain"), Case(world, seed, "default")
            start = bench.start(plain)
            for offset, case, color in ((-0.16, plain, PLAIN), (0.16, default, DEFAULT)):
                x, end = seed + offset, 100 * bench.end(case)["mean@8"]
                begin = 100 * start["mean@8"]
                style = {"arrowstyle": "-|>", "color": color, "lw": 2, "shrinkA": 0, "shrinkB": 0}
                if abs(end - begin) < 0.5:
                    axis.plot(x, end, "o", color=color, ms=5)
                else:
                    axis.annotate("", (x, end), (x, begin), arrowprops=style)
            axis.plot([seed - 0.3, seed + 0.3], [100 * start["mean@8"]] * 2, color=START, lw=1.5)
            axis.plot([seed - 0.3, seed + 0.3], [100 * start["maj@8"]] * 2, color=VOTE, lw=1.5, ls=":")
        axis.set_title(world, fontsize=11)
        axis.set_xticks(range(seeds))
        axis.set_xlabel("seed")
        axis.set_ylim(0, 100)
        axis.grid(axis="y", color="#e2e8f0", lw=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean@8, %")
    handles = [
        plt.Line2D([], [], color=START, lw=1.5, label="start, mean@8"),
        plt.Line2D([], [], color=VOTE, lw=1.5, ls=":", label="start, maj@8"),
        plt.Line2D([], [], color=PLAIN, lw=2, label="plain majority vote"),
        plt.Line2D([], [], color=DEFAULT, lw=2, label="the default"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    file = folder / "stability.png"
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return file
