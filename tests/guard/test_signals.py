"""Each signal against a slow, obvious count, and bounds by hand."""

from __future__ import annotations

import ast
import math
import random
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmupt.guard
from mmupt.answers.vote import vote
from mmupt.guard.bounds import SIGNALS, Signal, read
from mmupt.guard.settings import GuardSettings
from mmupt.guard.signals import (
    NO_ANSWER,
    answer_shares,
    jump,
    paired_change,
    pooled,
    repetition,
    student,
    top_answer,
    total_variation,
)
from mmupt.guard.trends import Trend

ANSWERS = st.lists(st.sampled_from(["1", "2", "1/2", "0.5", "x", None]), min_size=1, max_size=8)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_repetition(tokens: list[int], n: int) -> None:
    seen: list[list[int]] = []
    again = 0
    for i in range(len(tokens) - n + 1):
        gram = tokens[i : i + n]
        again += gram in seen
        seen.append(gram)
    assert repetition(tokens, n) == pytest.approx(again / len(seen) if seen else 0.0)


@given(st.lists(ANSWERS, min_size=1, max_size=6), st.lists(ANSWERS, min_size=1, max_size=6))
def test_answers_across_prompts(mine: list[list[str | None]], others: list[list[str | None]]) -> None:
    """Equal groups of one size weigh like one heap of answers; here every prompt counts the same whatever its size."""
    spelled = {"1": "1", "2": "2", "1/2": "half", "0.5": "half", "x": "x", None: NO_ANSWER}

    def heap(groups: list[list[str | None]]) -> dict[str, float]:
        total: Counter[str] = Counter()
        for group in groups:
            for answer in group:
                total[spelled[answer]] += 1 / len(group) / len(groups)
        return dict(total)

    p, q = heap(mine), heap(others)
    ours, theirs = (pooled(answer_shares(vote(group), None) for group in groups) for groups in (mine, others))
    assert sum(ours.values()) == pytest.approx(1)
    assert top_answer(ours)[1] == pytest.approx(max((s for a, s in p.items() if a != NO_ANSWER), default=0.0))
    largest_event = max(
        sum(p.get(a, 0) - q.get(a, 0) for a in event) for event in ([a for a in p | q if p.get(a, 0) > q.get(a, 0)], [])
    )
    assert total_variation(ours, theirs) == pytest.approx(largest_event, abs=1e-9)
    assert total_variation(ours, theirs) == total_variation(theirs, ours)


def test_options_are_counted_by_letter_and_groups_by_value() -> None:
    assert answer_shares(vote(["B", "40", None, "30"], choices=["30", "40"]), ["30", "40"]) == pytest.approx(
        {"(option, 1)": 0.5, "(option, 0)": 0.25, NO_ANSWER: 0.25}
    )
    assert top_answer({NO_ANSWER: 1.0}) == (NO_ANSWER, 0.0)


def test_answers_are_spelled_alike_in_every_process() -> None:
    """Sets have another order in every process; a resumed guard must find its own answers again."""
    code = (
        "from mmupt.answers.vote import vote; from mmupt.guard.signals import answer_shares;"
        r"print(answer_shares(vote([r'\{1, 2, 3, 5, 8\}', 'x = 1, y = 2', 'A, B']), None))"
    )
    spelled = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(spelled) == 1


def test_jump() -> None:
    before = [0.5, 0.52, 0.48, 0.5]
    rise, deviations = jump(before, 0.8)
    assert rise == pytest.approx(0.3)
    assert deviations == pytest.approx(0.3 / statistics.pstdev(before))
    assert jump([0.5, 0.5], 0.9) == (0.0, 0.0)
    assert jump([0.5] * 5, 0.6)[1] == pytest.approx(10), "no spread at all counts as a hundredth"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=20))
def test_paired_change(pairs: list[tuple[float, float]]) -> None:
    differences = [after - before for before, after in pairs]
    change = paired_change([before for before, _ in pairs], [after for _, after in pairs])
    assert change is not None
    assert change.value == pytest.approx(statistics.mean(differences), abs=1e-9)
    assert change.error == pytest.approx(statistics.stdev(differences) / math.sqrt(len(pairs)), abs=1e-9)


def test_the_error_of_a_weighted_change_is_what_it_varies_by() -> None:
    rng = random.Random(0)
    weights = [rng.uniform(0.5, 1) for _ in range(40)]
    values, errors = [], []
    for _ in range(2000):
        change = paired_change([0.0] * 40, [rng.gauss(0.1, 0.2) for _ in range(40)], weights)
        assert change is not None
        values.append(change.value)
        errors.append(change.error)
    assert statistics.mean(values) == pytest.approx(0.1, abs=0.003)
    assert statistics.mean(errors) == pytest.approx(statistics.stdev(values), rel=0.05)
    assert paired_change([1.0], [0.0]) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(6, 4.9), (10, 3.96), (20, 3.42), (63, 3.14), (10**6, 3.0)])
def test_few_degrees_of_freedom_need_more_errors(freedom: int, quantile: float) -> None:
    """Against tables of Student's t at the normal distribution's tail beyond three standard deviations."""
    assert student(3.0, freedom) == pytest.approx(quantile, rel=0.04)


FALLS = Signal("f", "it", "watch", "f", falls=True, collapse=0.5)
RISES = Signal("r", "it", "groups", "r", margin=0.2, collapse=0.5)
RATIO = Signal("l", "it", "groups", "l", margin=1.0, relative=True)


@pytest.mark.parametrize(
    ("signal", "trend", "bound", "out", "collapsed"),
    [
        (FALLS, Trend(0.76, 0.8, 0.0, 10**6), 0.75, False, False),
        (FALLS, Trend(0.74, 0.8, 0.0, 10**6), 0.75, True, False),
        (FALLS, Trend(0.70, 0.8, 0.04, 10**6), 0.68, False, False),
        (FALLS, Trend(0.39, 0.8, 0.04, 10**6), 0.68, True, True),
        (FALLS, Trend(0.39, 0.8, 0.20, 10**6), 0.20, False, False),
        (FALLS, Trend(0.99, 0.8, 0.0, 10**6), 0.75, False, False),
        (RISES, Trend(0.31, 0.1, 0.02, 10**6), 0.3, True, False),
        (RISES, Trend(0.61, 0.1, 0.02, 10**6), 0.3, True, True),
        (RISES, Trend(0.05, 0.1, 0.02, 10**6), 0.3, False, False),
        (RATIO, Trend(79, 40, 1, 10**6), 80, False, False),
        (RATIO, Trend(81, 40, 1, 10**6), 80, True, False),
    ],
)
def test_bounds(signal: Signal, trend: Trend, bound: float, out: bool, collapsed: bool) -> None:
    reading = read(signal, trend, GuardSettings(margin=0.05))
    assert (pytest.approx(bound, rel=1e-4), out, collapsed) == (reading.bound, reading.out, reading.collapsed)


def test_every_signal_stands_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")
    for signal in SIGNALS:
        rows = [line for line in text.splitlines() if line.startswith(f"| `{signal.name}`")]
        assert len(rows) == 1, signal.name
        assert ("acts" in rows[0]) == signal.acts, signal.name


def test_nothing_here_knows_a_label() -> None:
    """No module of the guard names a type or a reward that holds gold answers."""
    for file in Path(mmupt.guard.__file__ or "").parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {getattr(node, "id", None) or getattr(node, "attr", None) for node in ast.walk(tree)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & {"LabeledPrompt", "GroundTruth", "LABELED", "gold", "solution"}, file.name
