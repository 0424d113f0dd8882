"""The kinds of answers by hand-written pairs: one spelling against another, and against what is something else."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mmupt.answers.equivalence import canonical, grade, rounded, same

EQUAL = [
    ("x<5", r"(-\infty,5)"), ("1<x<3", "(1,3)"), (r"3 > x \ge 1", "[1, 3)"), ("5 <= x", r"[5, \infty)"),
    ("x=1, y=2", "y = 2 and x = 1"), (r"x \ne 2", r"x\neq 2"),
    (r"12 $\mathrm{m}$", "12 m"), (r"45\,\text{km}", "45 kilometers"), (r"5\mathrm{cm}^2", "5 square centimeters"),
    ("5 cm²", "5 sq cm"), ("5 sq. cm", "5 cm^2"), ("5 cubic meters", "5 m³"), ("5 cm2", "5 cm^{2}"),
    ("60 mph", "60 miles per hour"), ("60 km/h", "60 kilometres per hour"), ("9.8 m/s^2", r"9.8\text{ m/s}^2"),
    ("9.8 m/s²", "9.8 meters per second squared"), (r"9\pi cm^2", "9π square centimeters"),
    (r"5\sqrt{2} cm", r"\sqrt{50} centimetres"), ("5 dollars", "$5"), ("USD 5", "5 USD"), ("US$5", "5"),
    (r"\$1,234.50", "1234.5 dollars"), ("50 cents", "50¢"), ("1 234 567", "1,234,567"), ("1{,}234", "1234"),
    ("1.234.567", "1234567"), ("1.234,5", "1234.5"), (r"0.\overline{3}", "1/3"), (r"0.1\overline{6}", "1/6"),
    ("0.(3)", "1/3"), (r"0.\bar{3}", r"\frac13"), ("three", "3"), ("twenty-one", "21"), ("Twenty one", "21"),
    ("one hundred and five", "105"), ("two thirds", "2/3"), ("half", "1/2"), ("one half", "0.5"),
    ("two and a half", "2.5"), ("2 and a half", "2.5"), ("three apples", "3 apples"), ("3:45 PM", "15:45"),
    ("3:45 p.m.", "3:45pm"), ("10:15 A.M.", "10:15 am"), ("4 o'clock", "4:00"), ("12:30 am", "0:30"),
    ("2 hours 15 minutes", "2 h 15 min"), ("2 hours and 15 minutes", "135 minutes"), ("2h 48m", "168 min"),
    ("5 ft 3 in", "63 inches"), ("1:4", "2:8"), ("1 to 4", "1:4"), (r"6:\pi", r"12:2\pi"), ("1∶4", "1 : 4"),
    ("2:3:4", "4:6:8"), (r"\pm 2", r"\{2,-2\}"), ("±2", "2 or -2"), ("x=5 or x=-2", "x = -2 or x = 5"),
    (r"x = \pm 2", r"\pm 2"), ("x=5, x=-2", "5, -2"), (r"2\pm\sqrt{3}", r"2-\sqrt3 or 2+\sqrt3"), ("5 = x", "x = 5"),
    ("x = 1,000", "1000"), (r"S = \{1, 2\}", r"\{2, 1\}"), (r"x \in [0,1)", "[0, 1)"),
    (r"(0,1)\cup(2,3)", "(2,3)∪(0,1)"), (r"(-\infty, 3]", "(-∞,3]"), (r"\emptyset", "∅"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,2],[3,4]]"),
    (r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", r"\begin{pmatrix}1&2\\ 3&4\end{pmatrix}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "[[1],[2]]"), (r"\begin{pmatrix}\frac12&2\end{pmatrix}", "[[0.5, 2]]"),
    ("Yes", "yes, it is"), ("No.", "No, it is not"), ("Yes it is", "yes"), ("the dog", "dog"),
    ("North-East", "north east"), ("٣", "3"), ("10⁻³", "0.001"), ("x⁴", "x^4"), (r"\approx 3.14", "3.14"),
    ("≈ 5", "5"), (r"2.5 \times 10^3", "2500"), ("1.5e3", "1500"), ("$12$ m", "12 m"), ("$3$ and $4$", "3, 4"),
    ("20°C", "20 degrees Celsius"), ("30 rad", "30 radians"), ("5 lbs", "5 pounds"), ("5 L", "5 liters"),
    ("3 square units", "3 units^2"), (r"5\text{ units}", "5 units"), ("5 votes", "5 vote"), ("30 percent", "30%"),
    ("twelve cm", "12 cm"), (r"\left\{1,2\right\}", r"\{1,2\}"), (r"\frac{1}{2} \text{ cm}", "0.5cm"),
    (r"x=5\text{ cm}", "5 cm"), ("AB = 5 cm", "5cm"), ("4.5 hours", "4.5 hr"), (r"\sqrt{2}\text{ units}", "√2 units"),
    ("f(x) = 2x", "2x"), ("1/2 mile", "0.5 mi"), ("- 5", "-5"), (r"25 \%", "25%"), ("7.00", "7"),
    (r"$\frac{1}{2}$ cm", "0.5 cm"), ("100°", "100"), (r"\text{Yes}", "yes"), (r"\text{three}", "3"),
    (r"5\ \text{m/s}", "5 m/s"), ("5 m/s", "5 meters per second"), ("$5 per hour", "5 dollars per hour"),
    ("5 sq ft", "5 ft^2"), ("5 square foot", "5 feet^2"), ("40 km/hr", "40 km/h"), ("5 cm squared", "5cm^2"),
    ("2^{3}", "8"), ("1,2,3", "1, 2, and 3"),
]  # fmt: skip

UNEQUAL = [
    ("x<5", r"(-\infty, 5]"), ("1<x<3", "[1,3)"), ("1<x>3", "(1,3)"), ("x<y", "y<5"), ("x=1, y=2", "x=1, z=2"),
    ("50%", "50"), ("45 km", "45"), ("1 m", "100 cm"), ("2 hours", "120 minutes"), ("3:45", "3:45 PM"),
    ("3:45 AM", "3:45 PM"), ("1:4", "1/4"), ("50 cents", "0.5"), ("0.333", "1/3"), ("60 rad", "60"), ("third", "3"),
    ("second", "2"), ("(2,3)", "2,3"), ("(2,3)", "[2,3]"), (r"\{2,3\}", "2,3"), ("3,5", "3.5"), ("1.234", "1234"),
    ("yes", "true"), ("No", "No. 5"), ("5 cm", "5 cm^2"), ("5 in", "5 ft"), ("3 xy", "3 m"), ("1 and 2", "2 and 1"),
    ("x=1, y=2", "x=2, y=1"), ("5 m", "5 M"), ("A B", "B"), ("no", "none"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,3],[2,4]]"), ("a second", "1/2"), ("2:10", "1:5"),
    ("one of them", "1"), (r"(0,1)\cup(2,3)", r"(0,1)\cup(2,3]"), ("2 and 1/2", "2.5"),
    ("May 5", "5"), ("5 pm", "5"), ("5 pm", "5 am"), ("5 C", "5 F"), ("twenty", "20 twenty"), ("1 000", "1 00"),
    ("60 km/h", "60 km"), ("5.5.5", "555"), ("zero", "o"), ("one two", "12"), (r"\pm 2", "2"), ("5 g", "5 mg"),
    ("5 or 6", "6 or 7"), ("2x=4", "x=2"), ("A", "A, B"), ("5 apples", "5 pears"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_spellings_of_one_answer(a: str, b: str) -> None:
    assert canonical(a) == canonical(b)
    assert grade(a, b) and grade(b, a)


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_answers_that_differ(a: str, b: str) -> None:
    assert not same(a, b)


GRADED = [
    ("2, 3", "[2,3]", {}, True), ("(2,3)", "2,3", {}, True), ("[2,3]", "(2,3)", {}, False),
    ("3,2", r"\{2,3\}", {}, True), ("5", r"\{5\}", {}, True), ("3:45", "3:45 PM", {}, True),
    ("3:46", "3:45 PM", {}, False), (r"\frac14", "1:4", {}, True), ("5/19", "5:19", {}, True),
    ("y=2x+1", "2x-y+1=0", {}, True), ("y=2x+1", "2x+1", {}, True), ("2 h 15 min", "135", {"unit": "minutes"}, True),
    ("2 hours", "120", {"unit": "minutes"}, False), ("(2,3)", r"\begin{pmatrix}2\\3\end{pmatrix}", {}, True),
    ("7.065", "7.07", {"precision": 2}, True), ("7.064", "7.07", {"precision": 2}, False),
    ("-2.5", "-3", {"precision": 0}, True), ("3.14", r"\pi", {"precision": 2}, True), ("3.14", r"\pi", {}, False),
    ("1/300", "1/900", {}, False), ("0.0033", "1/300", {}, False), ("0.0033", "1/300", {"precision": 4}, True),
    ("7.07 cm", "7.065", {"precision": 2}, True), ("12 m", "12 cm", {"precision": 1}, False),
    ("4 per day", "4", {"unit": "$, per day"}, True), ("31.4", r"10\pi cm", {"tolerance": 0.01}, True),
    (r"10\pi", r"10\pi cm", {}, True), (r"10\pi cm", r"10\pi", {"unit": "centimeters"}, True),
    ("5 centimeters", "5", {"unit": "cm"}, True), ("5 m", "5", {"unit": "cm"}, False),
    ("$4", "4", {"unit": "$"}, True), ("2x=4", "x=2", {}, True), ("-7.065", "-7.07", {"precision": 2}, True),
    ("2.5", "2", {"precision": 0}, False),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "how", "correct"), GRADED)
def test_what_one_side_may_leave_out(answer: str, gold: str, how: dict[str, object], correct: bool) -> None:
    assert grade(answer, gold, **how) is correct  # type: ignore[arg-type]


def test_a_precision_rounds_the_exact_decimal() -> None:
    """Binary floating point would make 2.67 of 2.675 and Python's round, to even, 0.12 of 0.125."""
    assert grade("2.675", "2.68", precision=2)
    assert grade("0.125", "0.13", precision=2)
    assert not grade("0.125", "0.12", precision=2)
    assert rounded(Fraction("-7.065"), 2) == Fraction("-7.07")


@pytest.mark.parametrize("how", [{"tolerance": -0.1}, {"tolerance": float("nan")}, {"precision": -1}])
def test_a_senseless_tolerance_or_precision_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="use a number"):
        grade("1", "1", **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"\dfrac{15}{125} = \dfrac{3}{25}", "3/25"),
        ("3/4 = 0.75", "0.75"),
        ("x = 6/8 = 3/4", "3/4"),
        ("6 + 4 = 10", "10"),
        (r"\mathrm{(E)\ } 90", "90"),
        ("(B) 45 km", "45 kilometers"),
        (r"8\sqrt{3}{squareinches}", r"8\sqrt{3} square inches"),
        ("5{cm}", "5 cm"),
    ],
)
def test_one_value_written_in_several_ways_or_behind_a_label(written: str, value: str) -> None:
    assert same(written, value) and grade(written, value)


@pytest.mark.parametrize(("a", "b"), [("6 + 4 = 11", "11"), ("3 = 4", "4"), ("(E) 90", "91"), ("(E) ninety-ish", "90")])
def test_sides_that_differ_and_labels_of_words_are_no_value(a: str, b: str) -> None:
    assert not same(a, b)
