"""The orderings of the paper, and what the miniatures say of each. The rule is written here before anything is
measured, and every ordering is shown, whether it holds or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmupt.reproduce import paper
from mmupt.reproduce.figures import Difference, difference
from mmupt.reproduce.kept import Curves, Figure, Kept

Verdict = Literal["held", "not shown", "not held"]


@dataclass(frozen=True, slots=True)
class Ordering:
    """`higher` above `lower` (runs or RUN:STAGE) in `figure`; with `at_least` only not below it. `paper` has its own
    numbers, empty where it has none."""

    text: str
    higher: str
    lower: str
    paper: str = ""
    figure: Figure = "mean"
    at_least: bool = False

    def verdict(self, found: Difference) -> Verdict:
        """By the 95 % interval of the mean over seeds: "held" where it lies above 0, "not held" where it lies below,
        "not shown" where it does neither; with `at_least` only one that lies below 0 is "not held"."""
        if found.high < 0:
            return "not held"
        return "held" if self.at_least or found.low > 0 else "not shown"

    def judged(self, kept: Kept, figure: Figure | None = None) -> Difference | None:
        """The difference it is judged by, in its own figure or another one."""
        return difference(kept, self.higher, self.lower, figure or self.figure)


@dataclass(frozen=True, slots=True)
class Trend:
    """What a curve of a run does between its first and its last `WINDOW` steps."""

    text: str
    run: str
    curve: Literal["reward", "semantic_entropy"]
    rises: bool
    paper: str

    def changes(self, kept: Kept) -> dict[int, float]:
        """By seed: the mean of the last steps minus that of the first."""
        return {seed: _change(getattr(curves, self.curve)) for seed, curves in curves_of(kept, self.run).items()}

    def verdict(self, changes: dict[int, float]) -> Verdict:
        """Held where every seed goes that way, not held where none does."""
        right = [(change > 0) == self.rises and change != 0 for change in changes.values()]
        return "held" if all(right) else "not shown" if any(right) else "not held"


WINDOW = 10


def _change(values: tuple[float, ...]) -> float:
    first, last = values[:WINDOW], values[-WINDOW:]
    return sum(last) / len(last) - sum(first) / len(first)


def curves_of(kept: Kept, run: str) -> dict[int, Curves]:
    """By seed, of a run that keeps them."""
    results = {case.seed: kept.result(case) for case in kept.cases() if case.run.name == run}
    return {seed: r.curves for seed, r in results.items() if r is not None and r.curves is not None}


def _means(method: str) -> str:
    return ", ".join(paper.means(method))


def _over(method: str) -> str:
    return f"{_means('MM-UPT')} against {_means(method)}"


def _change_text(change: paper.Change) -> str:
    return f"{change.before:.2f} to {change.after:.2f}"


_START = f"{paper.START[-1]:.2f}"
_PASS = {name: f"{value:.2f}" for name, value in paper.PASS_AT_10.items()}

ORDERINGS: tuple[Ordering, ...] = (
    Ordering("MM-UPT above the start", "upt", "start", f"{_means('MM-UPT')} against {_START}"),
    Ordering("MM-UPT above LMSI", "upt", "lmsi", _over("LMSI")),
    Ordering("MM-UPT above SRLM", "upt", "srlm", _over("SRLM")),
    Ordering("MM-UPT above Genixer", "upt", "genixer", _over("Genixer")),
    Ordering("MM-UPT above STIC", "upt", "stic", _over("STIC")),
    Ordering(
        "GRPO with labels at or above MM-UPT",
        "grpo",
        "upt",
        f"{_means('GRPO')} against {_means('MM-UPT')}",
        at_least=True,
    ),
    Ordering("direct questions above the start", "direct", "start", f"{_means('MM-UPT, direct')} against {_START}"),
    Ordering(
        "in-context questions above the start",
        "in-context",
        "start",
        f"{_means('MM-UPT, in-context')} against {_START}",
    ),
    Ordering("a weak start gains too", "upt-weak", "weak", _change_text(paper.OTHER_STARTS["Qwen2.5-VL-3B"])),
    Ordering(
        "a start after GRPO gains too",
        "upt-after-grpo",
        "grpo",
        "; ".join(_change_text(paper.OTHER_STARTS[name]) for name in ("MM-Eureka-7B", "ThinkLite-VL-7B")),
    ),
    Ordering("the hard set does harm without the guard", "weak", "hard", _change_text(paper.HARD_SET)),
    Ordering("the same, 150 steps at 1e-4", "weak", "hard-long"),
    Ordering("the hard set does no harm with the guard", "hard-guarded", "weak", at_least=True),
    Ordering("the same, 150 steps at 1e-4", "hard-long-guarded", "weak", at_least=True),
    Ordering("pass@10 falls under MM-UPT", "start", "upt", f"{_PASS['start']} to {_PASS['MM-UPT']}", "pass"),
    Ordering("the same, 150 steps at 1e-4 (added later)", "start", "upt-long", figure="pass"),
    Ordering("pass@10 falls under GRPO with labels", "start", "grpo", f"{_PASS['start']} to {_PASS['GRPO']}", "pass"),
    Ordering(
        "pass@10 falls more under MM-UPT than under GRPO", "grpo", "upt", f"{_PASS['GRPO']}, {_PASS['MM-UPT']}", "pass"
    ),
    Ordering(
        "charts gain from dice", "upt-families-charts", "families-charts", _change_text(paper.OUT_OF_DOMAIN["ChartQA"])
    ),
    Ordering(
        "icons gain from dice", "upt-families-icons", "families-icons", _change_text(paper.OUT_OF_DOMAIN["IconQA"])
    ),
    *(
        Ordering(f"pictures alone: round {n} above {before}", f"loop:upt-{n}", run)
        for n, before, run in ((1, "the start", "start"), (2, "round 1", "loop:upt-1"), (3, "round 2", "loop:upt-2"))
    ),
    Ordering("rounds on pictures alone end above the start", "loop", "start"),
)

TRENDS: tuple[Trend, ...] = (
    Trend("the majority reward rises", "upt", "reward", True, "rises (figure 2)"),
    Trend("semantic entropy falls", "upt", "semantic_entropy", False, "falls (figure 2)"),
)
