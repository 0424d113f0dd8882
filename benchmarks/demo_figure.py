"""The figure of README: what each stage of a finished demo has learned, with 95 % intervals.

make demo && python benchmarks/demo_figure.py runs/demo docs/figures
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STAGES = {
    "sft": "1  sft\nworked examples",
    "rl": "2  rl\nlabels",
    "upt": "3  upt\nno labels",
}
ONE, VOTE = "#1d4ed8", "#94a3b8"


def draw(run: Path, folder: Path) -> Path:
    """`demo.png` in `folder`: mean@8 behind every stage, and the vote of eight beside it."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    rows = {str(row["stage"]): row for row in summary["stages"]}
    figure, axis = plt.subplots(figsize=(7.6, 3.4))
    for key, color, label, offset in (
        ("mean@8", ONE, "one answer (mean@8)", -0.17),
        ("maj@8", VOTE, "a vote of eight answers (maj@8)", 0.17),
    ):
        for place, stage in enumerate(STAGES):
            value, (low, high) = 100 * rows[stage][key], rows[stage][f"{key}_interval"]
            axis.bar(place + offset, value, 0.32, color=color, label=label if place == 0 else None)
            axis.vlines(place + offset, 100 * low, 100 * high, color="#0f172a", lw=1.5)
            axis.text(place + offset, 100 * high + 1, f"{value:.1f}", ha="center", va="bottom", fontsize=9)
    axis.set_xticks(range(len(STAGES)), STAGES.values())
    axis.set_ylim(0, 112)
    axis.set_yticks(range(0, 101, 20))
    axis.set_ylabel(f"right, % of {rows['upt']['n']} new questions")
    axis.grid(axis="y", color="#e2e8f0", lw=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="upper center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    file = folder / "demo.png"
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(draw(Path(sys.argv[1]), Path(sys.argv[2])))
