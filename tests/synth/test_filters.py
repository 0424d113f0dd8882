"""Each filter by itself, and their order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmupt.answers.vote import vote
from mmupt.synth.filters import (
    ADVICE,
    MEANING,
    REASONS,
    answered_blind,
    duplicate,
    hopeless,
    judge_text,
    judge_vote,
    near_duplicate,
    no_reference_word,
    too_long,
    too_short,
    trivial,
    unanswerable,
)
from mmupt.synth.settings import FilterSettings
from mmupt.types import Vote

FILTERS = FilterSettings(min_length=10, max_length=80)
LONG = "How many of the dice in the picture show more than three pips?"


def voted(*answers: str | None) -> Vote:
    return vote(answers, quorum=FILTERS.quorum)


def test_lengths() -> None:
    assert too_short("x" * 9, FILTERS) == "9 characters" and too_short("x" * 10, FILTERS) is None
    assert too_long("x" * 81, FILTERS) == "81 characters" and too_long("x" * 80, FILTERS) is None


def test_duplicates() -> None:
    assert duplicate("add ALL dice", ["Largest die?", "Add all dice."]) == 'the same as "Add all dice."'
    assert duplicate("Add all red dice.", ["Add all dice."]) is None and duplicate("Add", []) is None


def test_near_duplicates() -> None:
    near = near_duplicate(LONG.replace("three", "four"), ["Largest die?", LONG], FILTERS)
    assert near == f'0.79 like "{LONG}"'
    strict = FilterSettings(similarity=0.8)
    assert near_duplicate(LONG.replace("three", "four"), [LONG], strict) is None
    assert near_duplicate("Add the red dice.", ["Add the blue dice."], FILTERS) is None
    assert near_duplicate(LONG, [], FILTERS) is None


def test_reference_by_words() -> None:
    words = FilterSettings(reference="words")
    assert no_reference_word("What is two plus three?", words) == "it names no picture"
    assert no_reference_word("What does the Figure show?", words) is None
    assert no_reference_word("What is imagery?", words) is not None, "whole words"
    assert no_reference_word("How many dice?", FilterSettings(reference="words", reference_words=("dice",))) is None
    assert no_reference_word("What is two plus three?", FILTERS) is None, "only where it is asked for"


def test_reference_by_asking_blind() -> None:
    assert answered_blind(0.8, FILTERS) == "80% of the answers without the picture are the same"
    assert answered_blind(0.79, FILTERS) is None and answered_blind(None, FILTERS) is None


@pytest.mark.parametrize(
    ("answers", "unanswered", "lost", "easy"),
    [
        (["1", None, None, None], "1 of 4 answers could be read", "25% agree", None),
        ([None, None], "0 of 2 answers could be read", "0% agree", None),
        (["1", "1", None, None], None, None, None),
        (["1", "1", "2", "2"], "the vote is tied", None, None),
        (["1", "1", "2", "3", "4", "5", "6", "7"], None, "25% agree", None),
        (["1", "1", "1", "1", "2"], None, None, None),
        (["1", "1.0", "1", "1"], None, None, "100% agree"),
    ],
)
def test_votes(answers: Sequence[str | None], unanswered: str | None, lost: str | None, easy: str | None) -> None:
    found = voted(*answers)
    assert unanswerable(found, FILTERS) == unanswered
    assert hopeless(found, FILTERS) == lost
    assert trivial(found, FILTERS) == easy


def test_the_band_has_its_ends() -> None:
    band = FilterSettings(share=(0.5, 0.5))
    assert judge_vote(voted("1", "1", "2", "3"), band) is None
    assert judge_vote(voted("1", "2", "3", None), FilterSettings(share=(0.0, 1.0))) == (
        "unanswerable",
        "the vote is tied",
    )


def test_the_first_reason_counts() -> None:
    assert judge_text("Add it.", ["Add it."], [], FILTERS) == ("too_short", "7 characters")
    assert judge_text(LONG, [LONG], [LONG], FILTERS) == ("duplicate_of_original", f'the same as "{LONG}"')
    other = LONG.replace("three", "four")
    assert (judge_text(other, [LONG], [other], FILTERS) or ("",))[0] == "near_duplicate_of_original"
    assert (judge_text(LONG, [], [LONG], FILTERS) or ("",))[0] == "duplicate"
    assert (judge_text(other, [], [LONG], FILTERS) or ("",))[0] == "near_duplicate"
    words = FilterSettings(reference="words")
    assert (judge_text("What is two plus three?", [], [], words) or ("",))[0] == "no_reference"
    assert judge_text(LONG, ["Largest die?"], ["Add all dice."], words) is None
    assert judge_vote(voted("1", None, None), FILTERS) == ("unanswerable", "1 of 3 answers could be read")


def test_every_reason_is_explained() -> None:
    assert set(MEANING) == set(ADVICE) == set(REASONS)
