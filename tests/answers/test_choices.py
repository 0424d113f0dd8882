"""Which option an answer names."""

from __future__ import annotations

import pytest

from mmupt.answers.choices import option_index, options_named
from mmupt.answers.equivalence import grade, same

KILOMETRES = ("36 km", "45 km", "54 km")

NAMED = [
    ("option B", KILOMETRES, (1,)), ("Option B: 45 km", KILOMETRES, (1,)), ("Option D", KILOMETRES, ()),
    ("both A and B", KILOMETRES, (0, 1)), ("A, B", KILOMETRES, (0, 1)), ("B and A", KILOMETRES, (0, 1)),
    ("(A) and (B)", KILOMETRES, (0, 1)), ("b", KILOMETRES, (1,)), ("b) 45 km", KILOMETRES, (1,)),
    ("B 45 km", KILOMETRES, (1,)), ("45 km (B)", KILOMETRES, (1,)), ("54 km (B)", KILOMETRES, ()),
    ("the answer is C", KILOMETRES, (2,)), ("E", KILOMETRES, ()), ("A, E", KILOMETRES, ()),
    ("(D) 71", ("50", "52", "54", "56"), (3,)), ("2", ("1", "2", "3", "4", "5"), (1,)), ("2", ("3", "2", "1"), (1,)),
    ("D", ("1", "2", "2", "2"), (1,)), ("C", ("A", "B", "C", "D", "E"), (2,)), ("C", ("A)", "B)", "C)"), (2,)),
    ("B. 45 km", ("A. 36 km", "B. 45 km"), (1,)), ("45", ("A. 36 km", "B. 45 km"), (1,)),
    ("50%", ("0.5", "50%"), (1,)), ("0.5", ("0.5", "50%"), (0,)), ("3:45", ("3:45 PM", "4:00 PM"), (0,)),
    ("3:45", ("3:45 PM", "3:45 AM"), ()), ("1/4", ("1:2", "1:4"), (1,)), ("2, 3", ("(2,3)", "(3,2)"), (0,)),
    ("three", ("2", "3"), (1,)), ("Yes, it is", ("yes", "no"), (0,)), ("no", ("yes", "no"), (1,)),
    ("a dog", ("the dog", "the cat"), (0,)), ("30", ("30%", "40%"), (0,)),
    ("A and B", ("A only", "B only", "A and B"), (2,)), ("I", ("I", "II", "III"), (0,)), ("", KILOMETRES, ()),
    ("Answer: B", KILOMETRES, (1,)), ("the correct option is (C).", KILOMETRES, (2,)), ("choice", KILOMETRES, ()),
    ("A cat", ("A dog", "A cat"), (1,)), ("a", ("b", "a"), (1,)), ("45", ("45 km", "45 m"), ()),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "choices", "named"), NAMED)
def test_options_named(answer: str, choices: tuple[str, ...], named: tuple[int, ...]) -> None:
    assert options_named(answer, choices) == named
    assert option_index(answer, choices) == (named[0] if len(named) == 1 else None)


def test_a_gold_answer_outside_the_options_is_compared_as_a_value() -> None:
    assert grade("46", "46", choices=KILOMETRES)
    assert not grade("B", "46", choices=KILOMETRES)
    assert not grade("45", "46", choices=KILOMETRES)


def test_options_with_one_text_are_one_option() -> None:
    choices = ("20", "30", "30", "40")
    assert grade("C", "B", choices=choices)
    assert grade("30", "C", choices=choices)
    assert not grade("D", "B", choices=choices)


@pytest.mark.parametrize("picture", ["", "<image>", "Figure"])
def test_options_that_are_pictures_are_told_apart_by_their_letters(picture: str) -> None:
    choices = (picture,) * 5
    assert [options_named(letter, choices) for letter in "ABCDE"] == [(0,), (1,), (2,), (3,), (4,)]
    assert not grade("A", "B", choices=choices)
    assert options_named(f"(B) {picture}", choices) == (1,)
    assert options_named(picture, choices) == ()


def test_several_options_are_a_set() -> None:
    assert same("A, C", "both C and A", choices=KILOMETRES)
    assert not same("A, C", "A", choices=KILOMETRES)
    assert not same("A, C", "A, B", choices=KILOMETRES)


def test_letters_beyond_the_options_name_none() -> None:
    assert options_named("Z", KILOMETRES) == ()
    assert options_named("[", KILOMETRES) == ()
    assert len({options_named(chr(65 + i), tuple(map(str, range(26)))) for i in range(26)}) == 26
