"""Does label-free training help or harm, and does the guard know? Every reward on three kinds of start models.

    python benchmarks/stability.py                              # everything: hours on two cores, --jobs N for more
    python benchmarks/stability.py --quick --json               # plain voting and the default, one seed, 7 minutes
    python benchmarks/stability.py --methods plain default      # five seeds of the two that matter
    python benchmarks/stability.py --docs docs/stability.md --plot docs/figures   # from what is there already

The offline world; all start models are one tiny model after more or less sft, each seed with a world of its own:

    healthy   4000 rows of sft: the majority of 8 answers is mostly right
    mixed     2000 rows: right about most of what is asked, mostly wrong about one question in four
    hostile   2000 rows, and without labels come only questions of that one kind, while everything is measured: as with
              the hard set that MM-UPT was harmed by

From each start, 150 steps without labels (24 prompts, 12 answers each, learning rate 1e-4), then 600 held-out
questions, 8 sampled answers and one greedy each, before and after on the same random numbers. `plain` is majority
voting as published; `default` is what an `upt` stage does where its recipe chooses nothing; every other method is one
reward, its settings at their defaults, without the guard. `ground_truth` reads labels, `random` reads nothing.

Starts and runs are kept under --runs, figures in stability/figures.json, and neither is made again, so a benchmark that
was interrupted goes on. `--fresh` forgets the figures; `--quick` never looks at them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stability_figure import draw
from stability_runs import ALL, BOTH, FIGURES, METHODS, RECIPES, WORLDS, Bench, Case, Result


def quick(bench: Bench, seed: int) -> dict[str, Mapping[str, float]]:
    """mean@8 of one seed: hostile (plain, default, start), healthy (start, its vote, default)."""
    cases = [Case("hostile", seed, "plain"), Case("hostile", seed, "default"), Case("healthy", seed, "default")]
    bench.make(cases)
    plain, default, healthy = cases
    mean = "mean@8"
    return {
        "hostile": {
            "plain": bench.end(plain)[mean],
            "default": bench.end(default)[mean],
            "start": bench.start(plain)[mean],
        },
        "healthy": {
            "start_mean": bench.start(healthy)[mean],
            "start_maj": bench.start(healthy)["maj@8"],
            "default": bench.end(healthy)[mean],
        },
    }


def table(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """Markdown: a row a run, points in percent."""
    figures = " | ".join(f"{name} before, after" for name in FIGURES)
    lines = [
        f"| world | seed | method | {figures} | change of mean@8 (95 %) | guard |",
        "|" + "---|" * (len(FIGURES) + 5),
    ]
    for case in cases:
        found = bench.result(case)
        value, low, high = (100 * number for number in found.change)
        cells = [
            *(case.world, str(case.seed), case.method),
            *(f"{100 * found.before[name]:.1f}, {100 * found.after[name]:.1f}" for name in FIGURES),
            f"{value:+.1f} ({low:+.1f} to {high:+.1f})",
            found.guard,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold in at least `needed` of the seeds; `passed` has one entry a seed."""

    text: str
    needed: int
    passed: Sequence[bool]

    def __str__(self) -> str:
        met = "met" if sum(self.passed) >= self.needed else "MISSED"
        return f"{met}: {self.text} in {sum(self.passed)} of {len(self.passed)} (bar {self.needed})"


def bars(bench: Bench, seeds: Sequence[int]) -> list[Bar]:
    """What the default must show, seed by seed."""
    n = len(seeds)
    most = n - n // 5

    def over(world: str, holds: Callable[[Result, Result], bool]) -> list[bool]:
        """`holds(plain, default)` for each seed."""
        return [
            holds(bench.result(Case(world, seed, "plain")), bench.result(Case(world, seed, "default")))
            for seed in seeds
        ]

    mean, vote, best = "mean@8", "maj@8", "pass@8"
    return [
        Bar(
            "hostile: the start's majority is mostly wrong about what is learned from",
            n,
            over("hostile", lambda p, d: d.pool_vote < 0.5),
        ),
        Bar(
            "hostile: plain voting loses at least 10 points of mean@8",
            most,
            over("hostile", lambda p, d: p.before[mean] - p.after[mean] >= 0.10),
        ),
        Bar(
            "hostile: the default ends at most 1 point below its start",
            n,
            over("hostile", lambda p, d: d.after[mean] >= d.before[mean] - 0.01),
        ),
        Bar(
            "healthy: the default closes at least 70 % of the distance from mean@8 to the start's maj@8",
            n,
            over("healthy", lambda p, d: d.after[mean] - d.before[mean] >= 0.7 * (d.before[vote] - d.before[mean])),
        ),
        Bar(
            "healthy: the default loses less than half of the pass@8 that plain voting loses",
            n,
            over("healthy", lambda p, d: d.before[best] - d.after[best] < max(0.0, p.before[best] - p.after[best]) / 2),
        ),
        Bar(
            "healthy: the guard neither stops the run nor goes back",
            n,
            over("healthy", lambda p, d: not any(word in d.guard for word in ("stopped", "back", "begin"))),
        ),
        Bar("mixed: the default ends above its start", n, over("mixed", lambda p, d: d.after[mean] > d.before[mean])),
        Bar(
            "mixed: the default ends above plain voting",
            most,
            over("mixed", lambda p, d: d.after[mean] > p.after[mean]),
        ),
    ]


def randoms(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """What a reward without any information gained: nothing beyond noise, or how much."""
    lines = []
    for case in cases:
        if case.method == "random":
            value, low, high = bench.result(case).change
            gained = "gains nothing" if low <= 0 else "GAINS"
            lines.append(
                f"random reward, {case.world} {case.seed}: {gained}: {100 * value:+.1f} points of mean@8 "
                f"({100 * low:+.1f} to {100 * high:+.1f})"
            )
    return lines


def write_docs(file: Path, lines: Sequence[str]) -> None:
    """Between the markers of the page."""
    begin, end = "<!-- stability:begin -->", "<!-- stability:end -->"
    text = file.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    file.write_text("\n".join([head + begin, *lines, end]) + tail, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=ALL, metavar="WORLD")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of plain voting and the default (5)")
    parser.add_argument("--other-seeds", type=int, default=1, help="seeds of every other method (1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/stability"))
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--quick", action="store_true", help="one seed of hostile and healthy")
    parser.add_argument("--fresh", action="store_true", help="forget the figures that are kept")
    parser.add_argument("--kept", action="store_true", help="run nothing: tables and figure of what is kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    parser.add_argument("--plot", type=Path, help="draw the figure into this folder")
    arguments = parser.parse_args()
    if arguments.quick:
        found = quick(Bench(arguments.runs / "quick", arguments.jobs), 0)
        print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))
        return
    kept = RECIPES / "figures.json"
    if arguments.fresh:
        kept.unlink(missing_ok=True)
    bench = Bench(arguments.runs, arguments.jobs, kept)
    cases = [
        Case(world, seed, method)
        for method in arguments.methods
        for world in arguments.worlds
        for seed in range(arguments.seeds if method in BOTH else arguments.other_seeds)
    ]
    if arguments.kept:
        cases = [case for case in cases if bench.known(case)]
    bench.make(cases)
    complete = set(BOTH) <= set(arguments.methods) and set(WORLDS) <= set(arguments.worlds)
    lines = [*table(bench, cases), ""]
    if complete:
        lines += [f"- {bar}" for bar in bars(bench, range(arguments.seeds))]
    lines += [f"- {line}" for line in randoms(bench, cases)]
    if arguments.json:
        rows = [{"world": c.world, "seed": c.seed, "method": c.method, **asdict(bench.result(c))} for c in cases]
        print(json.dumps(rows))
    else:
        print("\n".join(lines))
    if arguments.docs is not None:
        write_docs(arguments.docs, lines)
    if arguments.plot is not None:
        draw(bench, WORLDS, arguments.seeds, arguments.plot)


if __name__ == "__main__":
    main()
