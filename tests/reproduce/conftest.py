"""Made-up results: no run is needed to see what a page says of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmupt.reproduce.kept import Curves, Kept, Result, Scores, digit, fingerprint
from mmupt.reproduce.runs import RUNS, Case

QUESTIONS = 60

MakeScores = Callable[..., Scores]
MakeResult = Callable[..., tuple[Case, Result]]


@pytest.fixture
def made_scores() -> MakeScores:
    """Of a model that is right in `right[i % len]` of ten samples of question i, and greedily on the first ones."""

    def make(right: list[int], *, greedy: float = 0.5, questions: str = "q") -> Scores:
        first = round(greedy * QUESTIONS)
        return Scores(
            set="world:test@dice",
            questions=questions,
            k=10,
            greedy="1" * first + "0" * (QUESTIONS - first),
            right="".join(digit(right[i % len(right)]) for i in range(QUESTIONS)),
            majority=0.5,
            unreadable=0.0,
        )

    return make


@pytest.fixture
def made_result() -> MakeResult:
    """Of a run with the recipe of now; stages are called upt-1, upt-2, ... where there are several."""

    def make(
        name: str, seed: int, *stages: Scores, guard: str = "", curves: Curves | None = None
    ) -> tuple[Case, Result]:
        case = Case(RUNS[name], seed)
        measured = {f"upt-{n}": one for n, one in enumerate(stages, 1)}
        return case, Result(fingerprint(case), measured, guard, 60.0, {"mmupt": "0"}, curves)

    return make


@pytest.fixture
def made_curves() -> Callable[[float], Curves]:
    """Twenty steps in which the reward changes by `slope` each, and entropy the other way."""

    def make(slope: float) -> Curves:
        values = tuple(0.5 + slope * step for step in range(20))
        return Curves(values, tuple(1 - v for v in values), values, ((0, 5.0), (10, 4.0), (20, 3.0)))

    return make


@pytest.fixture
def kept(
    tmp_path: Path, made_scores: MakeScores, made_result: MakeResult, made_curves: Callable[[float], Curves]
) -> Kept:
    """Three seeds of the start and of MM-UPT, which gains; GRPO below it, LMSI level, the hard set failed."""
    kept = Kept.read(tmp_path / "results.json")
    for seed in range(3):
        kept.put(*made_result("start", seed, made_scores([4, 6], greedy=0.6)))
        kept.put(*made_result("upt", seed, made_scores([7 + seed % 2, 9, 0]), curves=made_curves(0.01)))
        kept.put(*made_result("grpo", seed, made_scores([4, 4])))
    kept.put(*made_result("lmsi", 0, made_scores([7, 9, 0])))
    rounds = [made_scores([5, 6]), made_scores([6, 6]), made_scores([7, 6])]
    kept.put(*made_result("loop", 0, *rounds, guard="upt-1: nothing seen"))
    case = Case(RUNS["hard"], 0)
    kept.put(case, Result(fingerprint(case), {}, failed="error: the loss\nis not | finite"))
    return kept
