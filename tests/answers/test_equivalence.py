"""Sameness of answers, by hand-written pairs and as an equivalence relation."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmupt.answers.equivalence import canonical, grade, same

EQUAL = [
    ("1/2", "0.5"), (r"\frac{1}{2}", "0.50"), (r"\dfrac12", "1/2"), (r"-\frac{1}{2}", "-0.5"), ("50%", r"50\%"),
    ("50%", "0.5"), ("2 1/2", "2.5"), ("1 000 000", "1,000,000"),
    (r"1,\!005,\!006", "1005006"), (r"4\times6", r"4 \times 6"), ("x=1, y=2", "x = 1, y = 2"),
    (r"2\frac{1}{2}", "5/2"), ("½", "0.5"), ("1,234", "1234"), ("3,151.00", "$3151"),
    ("1e3", "1000"), (r"1.5\times 10^{3}", "1500"), ("10^{-2}", "0.01"), ("−3", "-3"), ("-$5", "$-5"), ("+5", "5"),
    ("-0", "0"), ("5.", "5"), ("007", "7"), ("２", "2"), ("$x = 5$", "5"), (r"\angle ABC = 60^\circ", "60"),
    ("60°", "60"), (r"60^{\circ}", "60"), ("60 degrees", "60"), (r"\text{60}", "60"), (r"\(60\)", "60"),
    (r"$\boxed{60}$", "60"), ("**60**", "60"), (r"\frac{90}{23}^{\circ}", "90/23"), ("\x0crac{36}{13}", "36/13"),
    (r"\sqrt{8}", r"2\sqrt{2}"), (r"\sqrt{4}", "2"), ("√3/2", r"\frac{\sqrt{3}}{2}"), ("sqrt(8)", r"\sqrt8"),
    (r"0.1\sqrt{2}", r"\frac{\sqrt{2}}{10}"), ("2pi", r"2\pi"), (r"2(\sqrt{2}-1)", r"2\sqrt{2}-2"),
    (r"\frac{2}{\sqrt{2}}", r"\sqrt{2}"), (r"\log_2 8", "3"), (r"\sqrt[3]{-8}", "-2"), ("(3)(2)", "6"),
    (r"3\sqrt{2}-\sqrt{18}", "0"), ("3^{1008}", "9^{504}"), ("2^{10}", "1024"), ("4/3", r"\frac{4}{3}"),
    ("x^2+2x+1", "(x+1)^2"), ("y = 2x+1", "1+2x"), ("x-x+5", "5"), ("x+y=4", "2x+2y=8"), ("x<5", "5>x"),
    (r"x \leq 5", "x≤5"), ("(3, -4)", "(3,-4)"), ("(1/2, 3)", "(0.5,3)"), (r"[0,\infty)", "[0, ∞)"),
    ("1, 2", "1 and 2"), (r"\{1, 2\}", r"\{2,1\}"), ("1:2", "1 : 2"), ("45 km", r"45\mathrm{~km}"), ("5m", "5 m"),
    ("5 cm²", r"5\text{ cm}^{2}"), ("yes", " Yes. "), ("North  East", "north east"), ("(B)", "B."), ("b", "B"),
    ("10:15 A.M.", "10:15 am"), (r"(1,2)\cup(3,4)", r"(1, 2) \cup (3, 4)"),
]  # fmt: skip

UNEQUAL = [
    ("1/300", "1/900"), ("0.333", "1/3"), ("3.14", r"\pi"), ("50%", "50"), ("1:2", "1/2"), ("5", "-5"),
    ("(1,2)", "(2,1)"), ("3,5,4,2,1", "3,4,5,1,2"), ("300, 400", "400, 300"),
    ("5-4-3-2-1", "5-2-3-4-1"), ("3-2", "1"),
    (r"4\times 6\times 16", r"4 \times 8 \times 12"), ("3 x 4", "4 x 3"), ("1 2 3", "6"), ("V = W", "W"),
    ("x=1, y=2", "y=1, x=2"), ("x=1, y=2", "1, 2"),
    (r"\{1, 2\}", r"\{1, 3\}"),
    ("(1,2)", "[1,2]"), ("(0,1)", "[0,1)"), ("1, 2", "1, 2, 2"), ("1,234", "1, 234"), ("45 km", "45"),
    ("45 km", "45 m"),
    ("5 cm^2", "5 cm^3"), ("A", "B"), ("A", "A and B"), ("yes", "no"), ("", "0"), ("None", "0"),
    (r"\frac{3^{1008}-1}{3^{1009}}", r"\frac{1}{3}"), (r"\frac{15+2\sqrt{3}}{64}", r"\frac{\sqrt{3}}{6}"),
    (r"\sqrt{2}", "1.41421356237"), ("x+1", "x-1"), ("x+1", "y+1"), ("|x|", "x"), (r"\sqrt{x^2}", "x"), ("x<5", "x>5"),
    ("x<5", r"x\leq 5"), ("x+y=4", "x+y=5"), ("10^{10^{10}}", "10^{10^{11}}"), ("4:30", "5:30"), ("(3)(2)", "5"),
    (r"\infty", r"-\infty"), ("August", "A"), (r"\frac{1}{0}", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal(a: str, b: str) -> None:
    assert same(a, b)
    assert same(b, a)
    assert hash(canonical(a)) == hash(canonical(b))


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_unequal(a: str, b: str) -> None:
    assert not same(a, b)
    assert not same(b, a)


KILOMETRES = [r"$36 \mathrm{~km}$", r"$45 \mathrm{~km}$", r"$54 \mathrm{~km}$"]


@pytest.mark.parametrize(
    "answer", ["B", "(B)", "b)", "B.", "B. 45 km", "(B) 45", r"\text{(B)}~45", "45 km", "45", "45km"]
)
def test_an_option_is_named_by_letter_text_or_value(answer: str) -> None:
    assert same(answer, "B", choices=KILOMETRES)
    assert not same(answer, "A", choices=KILOMETRES)


@pytest.mark.parametrize("answer", ["45 cm", "D", "46", "(B) 54 km", "A.M."])
def test_what_names_no_option_equals_none(answer: str) -> None:
    assert all(not same(answer, letter, choices=KILOMETRES) for letter in "ABC")


def test_words_are_not_mistaken_for_letters() -> None:
    assert same("August", "D", choices=["May", "June", "July", "August"])
    assert same("Edward", "D", choices=["Roger", "Brennan", "Manny", "Edward", "Zoe"])
    assert not same("E. coli", "E", choices=["B. subtilis", "E. coli", "x", "y", "z"])


def test_options_that_carry_their_own_label() -> None:
    choices = ["A. 30", "B. 60"]
    assert same("B", "60", choices=choices)
    assert same("B. 60", "(B)", choices=choices)


def test_fault_2_equal_answers_in_other_words() -> None:
    """The authors' code grades by equivalence yet takes these for different: 60° and 60, "A" and "A. 60"."""
    assert same("60°", "60")
    assert same("A", "A. 60", choices=["60", "70"])
    assert same("1/2", "0.5")


def test_a_tolerance_is_relative_and_for_numbers() -> None:
    assert same("3.14", r"\pi", tolerance=0.001)
    assert not same("3.1", r"\pi", tolerance=0.001)
    assert same("0", "0", tolerance=0.1)
    assert not same("0", "0.001", tolerance=0.1)
    assert not same("yes", "no", tolerance=0.9)


GRADED = [
    ("12", "12", {}, True), (None, "12", {}, False), (None, "None", {}, False), ("", "12", {}, False),
    ("$3,151.00", "3,151", {"unit": "$"}, True), ("$4 per day", "4", {"unit": "$, per day"}, True),
    ("3 minutes", "3", {"unit": "minutes per day"}, True), ("3 hours", "3", {"unit": "minutes per day"}, False),
    ("2.5 cm", "2.5", {}, True), (r"26 \text{ square units}", "26", {}, True), (r"2 \text{ ft.}", "2", {}, True),
    ("2.5", "2.5 cm", {}, True), ("2.5 m", "2.5 cm", {}, False), ("30%", "30", {}, True), ("30", "30%", {}, True),
    ("30%", "0.3", {}, True), ("30%", "30", {"unit": "kg"}, False), ("39°", "39", {}, True),
    ("69", "69{degrees}", {}, True),
    ("B", "B", {"choices": ["1", "2"]}, True), ("2", "B", {"choices": ["1", "2"]}, True),
    ("B", "2", {"choices": ["1", "2"]}, True), ("A", "2", {"choices": ["1", "2"]}, False),
    ("45 m", "B", {"choices": ["36 km", "45 km"]}, False), ("7.07", "7.1", {"tolerance": 0.01}, True),
    ("7.07 cm", "7.1", {"tolerance": 0.01}, True), ("7.07", "7.1", {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "how", "correct"), GRADED)
def test_grade(answer: str | None, gold: str, how: dict[str, object], correct: bool) -> None:
    assert grade(answer, gold, **how) is correct  # type: ignore[arg-type]


numbers = st.one_of(
    st.integers(-30, 30).map(str),
    st.tuples(st.integers(-9, 9), st.integers(1, 9)).map(lambda q: f"{q[0]}/{q[1]}"),
    st.tuples(st.integers(-9, 9), st.integers(1, 9)).map(lambda q: rf"\frac{{{q[0]}}}{{{q[1]}}}"),
    st.integers(-300, 300).map(lambda n: f"{n / 100}"),
    st.integers(0, 100).map(lambda n: f"{n}%"),
    st.tuples(st.integers(1, 4), st.integers(2, 9)).map(lambda q: rf"{q[0]}\sqrt{{{q[1]}}}"),
)
words = st.sampled_from(
    ["A", "(B)", "b", "yes", "No.", "A. 1", "(B) 0.5", "45 km", "45", "45 cm", "None", "x+1", "1+x"]
)
wrapped = st.tuples(
    st.sampled_from(["{}", "${}$", "x = {}", "{}.", r"\text{{{}}}", "**{}**", "{}°"]), numbers | words
).map(lambda pair: pair[0].format(pair[1]))
answers = wrapped | st.text(max_size=12)
some_choices = st.sampled_from([None, ("1", "1/2", "45 km", "x+1"), ("yes", "no"), ("A", "B", "C", "C")])


@settings(max_examples=60, deadline=None)
@given(st.lists(answers, min_size=3, max_size=6), some_choices)
def test_an_equivalence_relation(group: list[str], choices: tuple[str, ...] | None) -> None:
    def equal(a: str, b: str) -> bool:
        return same(a, b, choices=choices)

    for a in group:
        assert equal(a, a)
        for b in group:
            assert equal(a, b) == equal(b, a)
            assert all(equal(a, c) for c in group if equal(a, b) and equal(b, c))


def test_sympy_is_imported_only_for_a_symbolic_answer() -> None:
    program = (
        "import sys; from mmupt.answers.equivalence import same; from mmupt.answers.vote import vote\n"
        "assert same('1/2', '0.5') and same('B', '45 km', choices=['3 m', '45 km']); vote(['yes', '(1, 2)'])\n"
        "assert not {'sympy', 'torch', 'mpmath'} & set(sys.modules)\n"
        "same(r'\\sqrt{2}', 'x'); assert 'sympy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
