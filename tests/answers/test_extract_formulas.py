"""Conclusions that are formulas: a number that is part of one is no value, and one cut off concludes nothing."""

from __future__ import annotations

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.answers.reading.formulas import defines_several, is_equation, last_side, touches_formula


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The line through both points is y = 4x - 7.", "4x - 7"),
        ("Hence we get y = 4x.", "4x"),
        (r"So the width is $w = 2 + 3\sqrt{7}$.", r"2 + 3\sqrt{7}"),
        ("Then the area is A = 9π - 18", "9π - 18"),
        (r"It follows that n = 3^{4} - 2.", r"3^{4} - 2"),
        ("Thus the count is c = 8(2)^3 / 4", "8(2)^3 / 4"),
        ("Thus the count is c = 2(5 + 6) = 22", "22"),
        ("Thus the count is c = 5 * 6 = 30 beads", "30"),
        ("The sum is 5 + 6 = 11.", "11"),
        ("The chance is 2 / 9.", "2 / 9"),
        (r"Therefore the angle is $35^\circ$.", r"35^\circ"),
        (r"The bar is $0.2 \mathrm{~m} + 0.3 \mathrm{~m} = 0.5 \mathrm{~m}$.", "0.5 m"),
        ("It falls at g = 9.8 m/s^2", "9.8 m/s^2"),
        ("So f(3) = 10.", "10"),
        ("Hooray, the total = 5!", "5"),
        ("It costs $5 - a bargain.", "$5"),
        ("It is for people of 65+ years.", "65"),
        ("The mean is 5 (rounded).", "5"),
        ("The area is 6*7.", None),
        ("It takes 5-6 hours.", None),
        ("It is 3 x 4.", None),
        ("So x = 3 + 2 apples", None),
        ("So x = 3 and y = 2x + 1", None),
    ],
)
def test_the_whole_side_or_nothing(response: str, answer: str | None) -> None:
    assert extract(response, "lenient").answer == answer


@pytest.mark.parametrize(
    "response", ["y = 4x - 7", "f(x) = x^3 + 8", "B = 5*8", "m = 4!", "x^2 + y^2 = 3(4)^2 + 6(7)/2"]
)
def test_a_response_of_one_equation_is_read_whole(response: str) -> None:
    assert extract(response, "lenient").answer == response


def test_an_equation_that_is_read_can_be_graded() -> None:
    assert grade(extract("B = 5*8", "lenient").answer, "40")
    assert grade(extract("So the line is y = 4x - 7.", "lenient").answer, "y=4x-7")
    assert grade(extract("AB = 12", "lenient").answer, "12")


@pytest.mark.parametrize(
    "response",
    [
        "The width is 4 cm, so the area is A =",
        "The width is 4 cm.\nThen $A = 4 \\cdot 3 =$ and so $A = \\",
        "The width is 4 cm.\nThen A = \\sqrt{45",
        "The width is 4 cm.\nThen the area is $",
        "The width is 4 cm.\nThen the area is $a + b",
        "$A^2 = 6^2$\n$A^2 = 36$\n$A = \\sqrt{36",
    ],
)
def test_a_response_cut_off_inside_a_formula_concludes_nothing(response: str) -> None:
    assert extract(response, "lenient").answer is None


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 12. To see it, note that A =", "12"),
        ("(B)\n\nNote that $A = \\frac{3", "(B)"),
        ("12\n\nThe area is A =", "12"),
        ("Kim and Lou spend $6 and $7, for a total of $13", "$13"),  # money opens no formula
        ("It is $\\frac{1}{2}$", "\\frac{1}{2}"),
        ("The set {3", None),
    ],
)
def test_what_was_said_before_the_cut(response: str, answer: str | None) -> None:
    assert extract(response, "lenient").answer == answer


def test_the_pieces() -> None:
    assert last_side("so x = 1 + 4 = 2 + 3.") == "2 + 3"
    assert defines_several("so x = 1, y = 2 + 3")
    assert not defines_several("so x = 1 + 4 = 2 + 3")
    assert last_side("so x = 4 apples") is None
    assert last_side("so x = y") is None  # no number
    assert last_side("so x = (4 + 1") is None
    assert last_side("x <= 4 + 1") is None
    assert touches_formula("3 + 4", 0, 1)
    assert touches_formula("3 + 4", 4, 5)
    assert touches_formula("x -2", 2, 4)
    assert not touches_formula("the 3 boats", 4, 5)
    assert is_equation("V = 2r")
    assert not is_equation("Volume = 2r")
