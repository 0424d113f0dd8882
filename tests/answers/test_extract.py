"""Reading the answer of a response."""

from __future__ import annotations

import pytest

from mmupt.answers.extract import extract

BOXED = [
    (r"so \boxed{42}.", "42"),
    (r"\boxed{1} no, \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\text{(C)}\ 270^{\circ}}", r"\text{(C)}\ 270^{\circ}"),
    (r"\boxed {7}", "7"),
    (r"\fbox{7}", "7"),
    (r"\boxed{ 7 }", "7"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"an open { here, \boxed{5}", "5"),
    (r"a stray } here, \boxed{5}", "5"),
    (r"\boxed{5} and then cut off at \boxed{6", "5"),
    (r"\boxed{5} and \boxed{ {6 }", "5"),
    (r"\boxed{x = \boxed{5}}", "5"),
    ("\\boxed{4\u200b2\x07}", "42"),
    (r"\boxed{None}", "None"),
]


@pytest.mark.parametrize(("response", "answer"), BOXED)
def test_the_last_closed_box_is_read(response: str, answer: str) -> None:
    found = extract(response)
    assert (found.answer, found.where, found.reason) == (answer, "boxed", None)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "no closed box"),
        ("The answer is 5.", "no closed box"),
        (r"\boxed{5", "no closed box"),
        (r"\boxed{}", "empty"),
        (r"\boxed{5} put into \boxed{}", "empty"),
        (r"\boxed{ $\text{}$ . }", "empty"),
        ("\\boxed{\u200b}", "empty"),
        (r"\boxed{" + "1" * 1001 + "}", "longer than 1000 characters"),
    ],
)
def test_what_cannot_be_read_is_none_with_a_reason(response: str, reason: str) -> None:
    found = extract(response)
    assert (found.answer, found.reason) == (None, reason)


def test_tags() -> None:
    assert extract("<answer>A</answer> or <answer> B </answer>", "tag:answer").answer == "B"
    assert extract("<ANSWER>B</ANSWER>", "tag:answer").answer == "B"
    assert extract("<answer>A</answer> <answer>B</answer", "tag:answer").answer == "A"
    assert extract("</answer><answer>", "tag:answer").reason == "no <answer>...</answer>"
    assert extract("<answer></answer>", "tag:answer").reason == "empty"
    assert extract(r"<answers>A</answers> \boxed{2}", "tag:answer").answer is None


LENIENT = [
    (r"The answer is 4, so \boxed{5}", "5", "boxed"),
    ("The answer is (B).", "(B)", "the answer is"),
    ("Hence the final answer is: 3.50. The rest is talk.", "3.50", "the answer is"),
    ("The answer is $3,151.00.", "$3,151.00", "the answer is"),
    ("**Answer:** 12", "12", "the answer is"),
    ("因此,答案是C。", "C", "the answer is"),
    (r"Add.\n\nThe answer is 7.", "7", "the answer is"),
    ("first this\n\n**(C) 0.22**\nThe answer is C<|im_end|>", "C", "the answer is"),
    ("(D)\n\nExplanation: it has 3 circles.", "(D)", "letter"),
    ("D)", "D)", "letter"),
    ("(3, -4)", "(3, -4)", "whole response"),
    ("39°", "39°", "whole response"),
    ("The mode is 8.", "8", "last line"),
    ("We add.\nThere were 36/0.3 = 120 votes cast.", "120", "last line"),
    ("We add.\nSasha needs $0.08 to buy a tack.", "$0.08", "last line"),
]


@pytest.mark.parametrize(("response", "answer", "where"), LENIENT)
def test_lenient(response: str, answer: str, where: str) -> None:
    found = extract(response, "lenient")
    assert (found.answer, found.where) == (answer, where)


@pytest.mark.parametrize(
    "response",
    [
        "",
        r"Without the figures I cannot tell how many cells the $4 \times 4$ table needs.",
        "It lies between 3 and 5 somewhere.",
        "An empty box is an answer refused: \\boxed{}. The answer is 5.",
        "The answer is",
    ],
)
def test_lenient_does_not_invent_an_answer(response: str) -> None:
    assert extract(response, "lenient").answer is None


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="tag:NAME"):
        extract("x", "box")
