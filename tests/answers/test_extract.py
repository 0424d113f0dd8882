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


def test_the_strict_modes_never_fall_back() -> None:
    assert extract(r"\boxed{3} and \boxed{4}").answer == "4"
    assert extract("The answer is 5. \\boxed{}").answer is None
    assert extract("So AC is 5 cm.", choices=["4 cm", "5 cm"]).answer is None
    assert extract("The answer is (B).", "tag:answer", choices=["4 cm", "5 cm"]).answer is None


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="tag:NAME"):
        extract("x", "box")


PLACES = [
    ("boxed", r"so \boxed{42}.", r"\boxed{42}"),
    ("boxed", r"\boxed{1} no, \boxed{\frac{1}{2}} it is", r"\boxed{\frac{1}{2}}"),
    ("boxed", r"\boxed{x = \boxed{5}}", r"\boxed{5}"),
    ("boxed", "😀 \\fbox {\u200b7} é", "\\fbox {\u200b7}"),
    ("boxed", r"\boxed{5} and then cut off at \boxed{6", r"\boxed{5}"),
    ("tag:answer", "<answer>A</answer> or <ANSWER> B </ANSWER>!", "<ANSWER> B </ANSWER>"),
    ("tag:answer", "<answer>a <answer>b</answer>", "<answer>b</answer>"),
    ("lenient", r"\boxed{5}, that is \boxed{5}", r"\boxed{5}"),
    ("lenient", r"so \boxed{3} and \boxed{4}.", r"\boxed{3} and \boxed{4}"),
    ("lenient", r"**So** \boxed{7} and \boxed{}", r"\boxed{7}"),
    ("lenient", r"\boxed{3 + 4 = 7}", r"\boxed{3 + 4 = 7}"),
    ("lenient", "<think>5?</think><answer>15</answer>", "<answer>15</answer>"),
    ("lenient", "The answer is 12 cm.", "12 cm"),
]


@pytest.mark.parametrize(("mode", "response", "place"), PLACES)
def test_where_the_answer_stands(mode: str, response: str, place: str) -> None:
    start = response.rfind(place)
    assert extract(response, mode).span == (start, start + len(place))


@pytest.mark.parametrize(
    ("mode", "response"),
    [
        ("boxed", "no box"),
        ("boxed", r"\boxed{5} put into \boxed{}"),
        ("boxed", r"\boxed{" + "1" * 1001 + "}"),
        ("tag:answer", "<answer></answer>"),
        ("lenient", "12 > 11, so the answer is 12."),
        ("lenient", "nothing at all to be read here, I fear"),
    ],
)
def test_no_answer_or_no_known_place_has_no_span(mode: str, response: str) -> None:
    assert extract(response, mode).span is None
