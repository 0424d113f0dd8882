"""Does label-free training help or harm, and does the guard know? Every reward on three kinds of start models.

    python benchmarks/stability.py                              # everything: hours on two cores, --jobs N for more
    python benchmarks/stability.py --quick --json               # plain voting and the default, one seed, 15 minutes
    python benchmarks/stability.py --methods plain default      # five seeds of the two that matter
    python benchmarks/stability.py --docs docs/stability.md --plot docs/figures   # from what is there already

The offline world; all start models are one tiny model after more or less sft, each seed with a world of its own:

    healthy   4000 rows of sft: the majority of 8 answers is mostly right
    mixed     2000 rows
    hostile   2000 rows, and questions that need all four faces each: the majority is mostly wrong, as on the set that
              the paper's method was harmed by

From each start, 150 steps without labels (24 prompts, 12 answers each, learning rate 1e-4), then 600 held-out
questions, 8 sampled answers and one greedy each, before and after on the same random numbers. `plain` is majority
voting as published; `default` is what an `upt` stage does where its recipe chooses nothing; every other method is one
reward, its settings at their defaults, without the guard. `ground_truth` reads labels, `random` reads nothing.

Starts and runs are kept under --runs and are not made again, so a benchmark that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from stability_figure import draw
from stability_runs import BOTH, FIGURES, METHODS, WORLDS, Bench, Case


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
    head = ["world", "seed", "method", *(f"{name} before, after" for name in FIGURES), "guard"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case in cases:
        before, after = bench.start(case), bench.end(case)
        cells = [f"{100 * before[name]:.1f}, {100 * after[name]:.1f}" for name in FIGURES]
        lines.append("| " + " | ".join([case.world, str(case.seed), case.method, *cells, bench.story(case)]) + " |")
    return lines


def verdicts(bench: Bench, seeds: Sequence[int]) -> list[str]:
    """The bars, one sentence each, met or not."""

    def ends(world: str, method: str, figure: str = "mean@8") -> list[float]:
        return [bench.end(Case(world, seed, method))[figure] for seed in seeds]

    def starts(world: str, figure: str = "mean@8") -> list[float]:
        return [bench.start(Case(world, seed, "plain"))[figure] for seed in seeds]

    def counted(passed: Sequence[bool], needed: int, text: str) -> str:
        return (
            f"{'met' if sum(passed) >= needed else 'MISSED'}: {text} in {sum(passed)} of {len(passed)} (bar {needed})"
        )

    n = len(seeds)
    most = n - n // 5
    hostile, mixed, healthy = starts("hostile"), starts("mixed"), starts("healthy")
    lost = [s - e >= 0.10 for s, e in zip(hostile, ends("hostile", "plain"), strict=True)]
    kept = [e >= s - 0.01 for s, e in zip(hostile, ends("hostile", "default"), strict=True)]
    closed = [
        (e - s) >= 0.7 * (m - s)
        for s, m, e in zip(healthy, starts("healthy", "maj@8"), ends("healthy", "default"), strict=True)
    ]
    spared = [
        s - d < 0.5 * (s - p) or d >= s
        for s, p, d in zip(
            starts("healthy", "pass@8"),
            ends("healthy", "plain", "pass@8"),
            ends("healthy", "default", "pass@8"),
            strict=True,
        )
    ]
    above_start = [e > s for s, e in zip(mixed, ends("mixed", "default"), strict=True)]
    above_plain = [d > p for p, d in zip(ends("mixed", "plain"), ends("mixed", "default"), strict=True)]
    return [
        counted(lost, most, "hostile: plain voting loses at least 10 points of mean@8"),
        counted(kept, n, "hostile: the default ends at most 1 point below its start"),
        counted(closed, n, "healthy: the default closes at least 70 % of the distance to the start's maj@8"),
        counted(spared, n, "healthy: the default costs less than half of the pass@8 that plain voting costs"),
        counted(above_start, n, "mixed: the default ends above its start"),
        counted(above_plain, most, "mixed: the default ends above plain voting"),
    ]


def write_docs(file: Path, lines: Sequence[str]) -> None:
    """Between the markers of the page."""
    begin, end = "<!-- stability:begin -->", "<!-- stability:end -->"
    text = file.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    file.write_text("\n".join([head + begin, *lines, end]) + tail, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of plain voting and the default (5)")
    parser.add_argument("--other-seeds", type=int, default=1, help="seeds of every other method (1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/stability"))
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--quick", action="store_true", help="one seed of hostile and healthy")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    parser.add_argument("--plot", type=Path, help="draw the figure into this folder")
    arguments = parser.parse_args()
    bench = Bench(arguments.runs, arguments.jobs)
    if arguments.quick:
        found = quick(bench, 0)
        print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))
        return
    cases = [
        Case(world, seed, method)
        for method in arguments.methods
        for world in arguments.worlds
        for seed in range(arguments.seeds if method in BOTH else arguments.other_seeds)
    ]
    bench.make(cases)
    complete = set(BOTH) <= set(arguments.methods) and set(WORLDS) <= set(arguments.worlds)
    lines = [*table(bench, cases), ""]
    if complete:
        lines += [f"- {line}" for line in verdicts(bench, range(arguments.seeds))]
    if arguments.json:
        print(
            json.dumps(
                [
                    {
                        "world": c.world,
                        "seed": c.seed,
                        "method": c.method,
                        "before": bench.start(c),
                        "after": bench.end(c),
                        "guard": bench.story(c),
                    }
                    for c in cases
                ]
            )
        )
    else:
        print("\n".join(lines))
    if arguments.docs is not None:
        write_docs(arguments.docs, lines)
    if arguments.plot is not None:
        draw(bench, WORLDS, arguments.seeds, arguments.plot)


if __name__ == "__main__":
    main()
