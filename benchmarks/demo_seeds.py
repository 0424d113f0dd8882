"""Does the label-free stage do what the demo says, on every seed? Runs `mmupt demo` with several seeds and prints, for
each, how much of the distance between mean@8 and maj@8 the `upt` stage closed, and what became of greedy accuracy.

    python benchmarks/demo_seeds.py                 # seeds 0, 1, 2: about a quarter of an hour on two cores
    python benchmarks/demo_seeds.py --seeds 3 4 --json

The bars: a distance of at least 0.12, at least 60 % of it closed, greedy down by no more than half a point, each seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

K = 8


def figures(summary: dict[str, object]) -> dict[str, float]:
    """What the upt stage changed, from a demo's `summary.json`."""
    stages = {str(stage["name"]): stage for stage in summary["stages"]}  # type: ignore[attr-defined]
    before, after = stages["rl"], stages["upt"]
    distance = before[f"maj@{K}"] - before[f"mean@{K}"]
    return {
        "mean_before": before[f"mean@{K}"],
        "maj_before": before[f"maj@{K}"],
        "mean_after": after[f"mean@{K}"],
        "distance": distance,
        "closed": (after[f"mean@{K}"] - before[f"mean@{K}"]) / distance,
        "greedy_before": before["greedy"],
        "greedy_after": after["greedy"],
        "pass_before": before[f"pass@{K}"],
        "pass_after": after[f"pass@{K}"],
        "seconds": float(summary["seconds"]),  # type: ignore[arg-type]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run folders go")
    parser.add_argument("--keep", action="store_true", help="read finished runs instead of running them again")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    results = {}
    for seed in arguments.seeds:
        folder = arguments.runs / f"demo-seed-{seed}"
        if not (arguments.keep and (folder / "summary.json").exists()):
            command = [sys.executable, "-m", "mmupt.cli", "demo", "--seed", str(seed), "--run-dir", str(folder)]
            subprocess.run([*command, "--overwrite"], check=True, stdout=sys.stderr)
        results[seed] = figures(json.loads((folder / "summary.json").read_text()))

    if arguments.json:
        print(json.dumps(results))
        return
    print("seed  mean@8          maj@8   distance  closed  greedy          pass@8          seconds")
    for seed, f in results.items():
        print(
            f"{seed:<4}  {f['mean_before']:.3f} -> {f['mean_after']:.3f}  {f['maj_before']:.3f}   "
            f"{f['distance']:.3f}     {f['closed']:>4.0%}    {f['greedy_before']:.3f} -> {f['greedy_after']:.3f}  "
            f"{f['pass_before']:.3f} -> {f['pass_after']:.3f}  {f['seconds']:.0f}"
        )
    met = all(
        f["distance"] >= 0.12 and f["closed"] >= 0.6 and f["greedy_after"] >= f["greedy_before"] - 0.005
        for f in results.values()
    )
    print(f"bars met on every seed: {'yes' if met else 'no'}")


if __name__ == "__main__":
    main()
