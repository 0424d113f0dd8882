"""The benchmarks' own rules, against verdicts found by hand."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import pytest

from mmupt.evals.benchmarks import chartqa, mathvista, tabmwp
from mmupt.evals.benchmarks.base import Answered, gold_text
from mmupt.types import LabeledPrompt, Prompt


def answered(
    answer: str | None, gold: str, choices: tuple[str, ...] | None = None, unit: str | None = None, **meta: Any
) -> Answered:
    prompt = Prompt(id="q", question="?", choices=choices)
    return Answered(LabeledPrompt(prompt, gold, unit=unit, meta=meta), answer or "", answer, False)


CITIES = ("hong kong", "osaka", "tokyo")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("C", True),
        ("(C) tokyo", True),
        ("it is (c)", True),
        ("tokyo", True),
        ("Tokio", True),  # nearest by edits
        ("A", False),
        ("osako", False),
        ("c", False),  # one edit from nothing: the nearest is osaka, the shortest
        (None, False),
    ],
)
def test_mathvista_options(answer: str | None, right: bool) -> None:
    assert mathvista.judge(answered(answer, "C", CITIES, answer_kind="letter")) is right
    assert mathvista.judge(answered(answer, "tokyo", CITIES, answer_kind="choice_text")) is right


@pytest.mark.parametrize(
    ("kind", "precision", "answer", "gold", "right"),
    [
        ("integer", None, "5.9", "5", True),  # cut, not rounded
        ("integer", None, "5 apples", "5", False),
        ("integer", None, "1,000", "1000", False),
        ("integer", None, "inf", "5", False),
        ("integer", None, "nan", "5", False),
        ("float", 1, "1.24", "1.2", True),
        ("float", 2, "1.24", "1.2", False),
        ("float", 1, "13.80", "13.8", True),
        ("float", 1, "2", "2.0", True),
        ("float", 1, None, "1.2", False),
        ("list", None, "[1, 2]", "[1, 2]", True),
        ("list", None, "[1,2]", "[1, 2]", False),
    ],
)
def test_mathvista_numbers(kind: str, precision: int | None, answer: str | None, gold: str, right: bool) -> None:
    meta: dict[str, Any] = {"answer_type": kind} | ({} if precision is None else {"precision": precision})
    assert mathvista.judge(answered(answer, gold, **meta)) is right


def test_a_hostile_answer_is_wrong_at_once() -> None:
    assert not mathvista.judge(answered("9" * 1_000_000, "5", answer_type="integer"))
    assert not mathvista.judge(answered("x" * 1_000_000, "C", CITIES))
    assert not tabmwp.judge(answered("9" * 1_000_000, "5"))


def test_edit_distance_is_the_recursive_one() -> None:
    @cache
    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    words = ["".join(letters) for n in range(4) for letters in product("ab", repeat=n)] + ["kitten", "sitting"]
    for a, b in product(words, words):
        assert mathvista.edit_distance(a, b) == slow(a, b)
    assert mathvista.edit_distance("kitten", "sitting") == 3


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("104.9", "100", True),
        ("105", "100", True),
        ("105.1", "100", False),
        ("95", "100", True),
        ("-104", "-100", True),
        ("12%", "0.12", True),
        ("12", "12%", False),
        ("2010", "2018", True),  # years are numbers like all others
        ("0.0", "0", False),  # a gold zero must be repeated
        ("0", "0", True),
        ("Yes", "yes", True),
        ("yes!", "yes", False),
        ("1,000", "1000", False),
        (None, "100", False),
    ],
)
def test_chartqa_relaxed(answer: str | None, gold: str, right: bool) -> None:
    assert chartqa.judge(answered(answer, gold)) is right


@pytest.mark.parametrize(
    ("answer", "gold", "unit", "right"),
    [
        ("4656", "4,656", None, True),
        ("$1.40", "1.4", "$", True),
        ("0.3333", "1/3", None, True),
        ("0.33", "1/3", None, False),
        ("−3", "-3", None, True),
        ("-3/2", "-1.5", None, True),
        ("10 pounds", "10", "pounds", True),
        ("10 kg", "10", "pounds", False),
        ("7.", "7", None, True),
        ("1/0", "1/0", None, True),
        ("3:15 P.M.", "3:15 p.m.", None, True),
        (None, "7", None, False),
    ],
)
def test_tabmwp_free_answers(answer: str | None, gold: str, unit: str | None, right: bool) -> None:
    assert tabmwp.judge(answered(answer, gold, unit=unit)) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [("B", True), ("(B)", True), ("a surplus", True), ("surplus of goods", True), ("shortage", False), ("none", False)],
)
def test_tabmwp_options(answer: str, right: bool) -> None:
    assert tabmwp.judge(answered(answer, "a surplus", ("a shortage", "a surplus"))) is right


def test_the_gold_option_whatever_it_is_written_as() -> None:
    assert gold_text(answered("", "B", ("x", "y"), answer_kind="letter").row) == "y"
    assert gold_text(answered("", "B", ("B", "A"), answer_kind="choice_text").row) == "B"
    assert gold_text(answered("", "B", ("B", "A"), answer_kind="letter").row) == "A"
    assert gold_text(answered("", "y", ("x", "y")).row) == "y"
    assert gold_text(answered("", "B", ("x", "y")).row) == "y"
