"""The four dimensions of We-Math, on problems whose class is counted by hand and on every pattern there is."""

from __future__ import annotations

from itertools import product

import pytest

from mmupt.evals.benchmarks.base import Answered
from mmupt.evals.benchmarks.wemath import Problem, four_dimensions, metric
from mmupt.types import LabeledPrompt, Prompt


def questions(problem: str, parts: tuple[bool, ...], whole: bool | None) -> list[Answered]:
    """The questions of a problem with their verdicts; without the whole where that is None."""
    kind = f"{len(parts)}steps"
    verdicts = {str(i): part for i, part in enumerate(parts, 1)} | ({} if whole is None else {"multi": whole})
    return [
        Answered(
            LabeledPrompt(
                Prompt(id=f"{problem}-{step}", question="?"), "A", meta={"problem": problem, "key": f"{kind}_{step}"}
            ),
            "",
            "A",
            right,
        )
        for step, right in verdicts.items()
    ]


def test_problems_counted_by_hand() -> None:
    answered = [
        *questions("2steps_1", (True, True), True),  # mastery
        *questions("2steps_2", (True, False), True),  # mastery if loose, rote if strict
        *questions("2steps_3", (False, False), True),  # rote
        *questions("2steps_4", (True, True), False),  # inadequate generalisation
        *questions("2steps_5", (False, True), False),  # insufficient knowledge
        *questions("3steps_1", (True, True, True), False),  # inadequate generalisation
        *questions("3steps_2", (False, True, False), True),  # mastery if loose, rote if strict
        *questions("3steps_3", (False, False, False), False),  # insufficient knowledge
    ]
    figures = metric(list(reversed(answered)))
    assert figures["s1"] == pytest.approx(10 / 19)
    assert figures["s2"] == pytest.approx(3 / 5)
    assert figures["s3"] == pytest.approx(1 / 3)
    expected = {
        "ik": 2 / 8,
        "ig": 2 / 8,
        "cm_strict": 1 / 8,
        "cm_loose": 3 / 8,
        "rm_strict": 3 / 8,
        "rm_loose": 1 / 8,
        "rm_rate_strict": 3 / 4,
        "rm_rate_loose": 1 / 4,
        "score_strict": 1 / 8 + 0.5 * 2 / 8,
        "score_loose": 3 / 8 + 0.5 * 2 / 8,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert set(figures) == {"s1", "s2", "s3", *expected}


@pytest.mark.parametrize("steps", [2, 3])
def test_every_pattern_has_one_class(steps: int) -> None:
    for *parts, whole in product((False, True), repeat=steps + 1):
        figures = four_dimensions([Problem(tuple(parts), whole)])
        right = sum(parts)
        if not whole:
            strict = loose = "ig" if right == steps else "ik"
        else:
            strict = "cm_strict" if right == steps else "rm_strict"
            loose = "cm_loose" if right > 0 else "rm_loose"
        for level, holds in (("strict", strict), ("loose", loose)):
            shares = {name: figures[name] for name in ("ik", "ig", f"cm_{level}", f"rm_{level}")}
            assert shares == {name: float(name == holds) for name in shares}
            penalty = 0.5 * shares["ig"] + shares[f"rm_{level}"] + shares["ik"]
            assert figures[f"score_{level}"] == 1 - penalty, "the authors subtract; it is the same"


def test_all_patterns_together() -> None:
    problems = [Problem(tuple(p), w) for n in (2, 3) for *p, w in product((False, True), repeat=n + 1)]
    figures = four_dimensions(problems)
    counts = {name: round(24 * value) for name, value in figures.items() if "score" not in name and "rate" not in name}
    assert counts == {"ik": 10, "ig": 2, "cm_strict": 2, "rm_strict": 10, "cm_loose": 10, "rm_loose": 2}
    assert all(0 <= value <= 1 for value in figures.values())


def test_problems_cut_short_are_left_out() -> None:
    whole, cut = questions("2steps_1", (True, True), True), questions("2steps_2", (False, False), None)
    assert metric(whole + cut)["cm_strict"] == 1.0
    assert metric(cut) == {"s1": 0.0}, "no complete problem: accuracies alone"
    assert metric([]) == {}


def test_two_and_three_step_problems_of_one_number_stay_apart() -> None:
    answered = [*questions("1", (True, True), True), *questions("1", (True, True, True), False)]
    figures = metric(answered)
    assert (figures["cm_strict"], figures["ig"]) == (0.5, 0.5)
