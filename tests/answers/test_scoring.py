from __future__ import annotations

import random
from collections import Counter

import pytest

from mmupt.answers.scoring import majority_correct
from mmupt.answers.vote import vote


def test_the_winner_is_right_or_wrong() -> None:
    outcome = vote(["3", "3", "4"])
    assert majority_correct(outcome, {"3": True, "4": False}.__getitem__) == 1.0
    assert majority_correct(outcome, {"3": False, "4": True}.__getitem__) == 0.0


def test_a_tie_counts_by_the_share_of_tied_clusters_that_are_right() -> None:
    answers = ["3", "3", "4", "4", "5"]
    assert majority_correct(vote(answers), {"3": True, "4": False, "5": True}.__getitem__) == 0.5
    assert majority_correct(vote(answers, ties="first"), {"3": True, "4": False}.__getitem__) == 1.0
    assert majority_correct(vote(answers, ties="first"), {"3": False, "4": True}.__getitem__) == 0.0


@pytest.mark.parametrize("ties", ["none", "first", "random"])
def test_below_the_quorum_nobody_is_right(ties) -> None:
    answers = ["3", "4", None, None, None]
    assert majority_correct(vote(answers, ties=ties, quorum=0.5), lambda _: True, quorum=0.5) == 0.0
    assert majority_correct(vote(answers, ties=ties, quorum=0.4), lambda _: True, quorum=0.4) == 1.0


def test_no_answers_no_credit() -> None:
    assert majority_correct(vote([None, None]), lambda _: True) == 0.0


def test_random_groups_against_counting_letters() -> None:
    rng = random.Random(0)
    for _ in range(200):
        answers = [rng.choice(["x", "y", "z", None]) for _ in range(rng.randrange(1, 8))]
        counts = Counter(a for a in answers if a is not None)
        top = [a for a, n in counts.items() if n == max(counts.values())]
        expected = sum(a == "y" for a in top) / len(top) if top else 0.0
        assert majority_correct(vote(answers), lambda a: a == "y") == expected
