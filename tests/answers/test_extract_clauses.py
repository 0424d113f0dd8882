"""Premise and conclusion in one sentence, values that are none, blanks and lists."""

from __future__ import annotations

import pytest

from mmupt.answers.extract import extract
from mmupt.answers.reading.clauses import concluding_clause, ends_in_blank
from mmupt.answers.reading.lines import is_option_list


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("x = 5, so the perimeter is 20.", "20"),
        ("x = 5 so the perimeter is 20.", "20"),
        ("∠P = 20.0, so ∠Q is equal to 80.0.", "80.0"),
        ("Since x = 5, the perimeter is 20.", "20"),
        ("Since x = 5, y = 4 and z = 3, the sum is 12.", "12"),
        ("Since the base is 3, it follows that h is 4, which means c = 5.", "5"),
        ("If x = 5, then the perimeter is 20.", "20"),
        ("Given that x = 5, the perimeter is 4 * 5 = 20.", "20"),
        ("With r = 3, the area is 28.26.", "28.26"),
        ("When x = 5, y = 7.", "7"),
        ("Since x = 3, y = 2x + 1", "2x + 1"),
        ("The perimeter is 20, since x = 5.", "20"),
        ("The perimeter is 20 because x = 5.", "20"),
        ("The perimeter, since x = 5, is 20.", "20"),
        ("It is 8, as 5 + 3 = 8.", "8"),
        ("The perimeter is 20, because x = 5, y = 3.", "20"),
        ("In 2012, when 5 teams played, the best score was 9.", "9"),
        ("AB = 3 and BC = 4, so AC is 5.", "5"),
        ("x = 5 and the perimeter is 20.", "20"),
        ("x = 5, for a total of 20.", "20"),
        ("Thus AC = 5, which is 2 more than AB.", "5"),  # a remark about the value
        ("AC = 5 cm (AB is 3 cm).", "5 cm"),
        ("The perimeter is 2(3 + 4) = 14", "14"),
        ("So 3 + 4 = 7 apples", "7"),
        ("So the length is d = 0.013 m = 1.3 cm", "1.3 cm"),
        ("The total is then 5 of the 7 kinds.", "5"),  # no connective
        ("The tallest is blue, with 31 points.", "31"),  # the only value
        ("There are 3 boats. That is because 2 are away.", "3"),  # a premise alone concludes nothing
        ("Angle Q is unclear if angle P is 110 degrees.", None),
        ("If angle P = 110 degrees, then angle Q = (blank).", None),
        ("If angle P = 110 degrees, then angle Q = ____.", None),
        ("If angle P = 110 degrees, then angle Q = (_)", None),
        ("If angle P = 110 degrees, then angle Q = ?", None),
        ("Angle P = 110 degrees. So angle Q = ____.", None),
    ],
)
def test_the_conclusion_not_the_premise(response: str, answer: str | None) -> None:
    assert extract(response, "lenient").answer == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("There are 3 methods above 20.0. The B-952 score averages the scores for the 952 viewers.", "3"),
        ("There are 5 bars higher than 20. The chart shows the sales of the 12 months.", "5"),
        ("The poll shows 5 bars. It was taken from 35 people.", "5"),
        ("They swapped it for 5 tokens.", "5"),  # what they got
        ("It fell from 35 m.", "35 m"),
        ("It covers the B-952 score.", None),
    ],
)
def test_a_number_that_only_modifies_a_noun(response: str, answer: str | None) -> None:
    assert extract(response, "lenient").answer == answer


@pytest.mark.parametrize("line", ["(A) 0.10 m (B) 0.20 m (C) 0.30 m (D) 0.40 m", "A. 7 B. 8 C. 9", "(A) red, (B) blue"])
def test_a_list_of_options_on_one_line_names_none(line: str) -> None:
    assert is_option_list(line)
    assert extract(line, "lenient").answer is None
    assert extract(f"Choose one:\n{line}", "lenient", choices=["x", "y", "z", "w"]).answer is None


@pytest.mark.parametrize(
    "line", ["(A) 7", "(A) 7, because (B) is 8", "(A) and (B)", "(A), (B)", "(B) 7 (A) 8", "It is (A) 7"]
)
def test_no_list_of_options(line: str) -> None:
    assert not is_option_list(line)


def test_the_pieces_of_a_sentence() -> None:
    assert concluding_clause("x = 5, so it is tall.") == "x = 5, so it is tall."  # nothing is said behind "so"
    assert concluding_clause("If it rains, 3 stay.") == "3 stay."
    assert concluding_clause("As of now, all stay.") == "As of now, all stay."
    assert concluding_clause("") == ""
    assert ends_in_blank("y = ( blank ).")
    assert ends_in_blank("y = ")
    assert not ends_in_blank("y = 4.")
    assert not ends_in_blank("blank")
