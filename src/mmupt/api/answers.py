r"""Answers of texts that any model has written: read, voted on, graded. No torch.

>>> vote(["3", "three", r"so \\boxed{3.0}", "I do not know."]).share
0.75
"""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.equivalence import grade as _grade
from mmupt.answers.extract import extract as _extract
from mmupt.answers.vote import Ties
from mmupt.answers.vote import vote as _vote
from mmupt.types import Vote


def read_answer(response: str, *, extract: str = "lenient", choices: Sequence[str] | None = None) -> str | None:
    """The answer of a response as it is written there, None where there is none.

    `extract` is "lenient" (whatever a model may write), "boxed" (the last closed box) or "tag:NAME"; `choices` are the
    options of a multiple-choice question. Raises ValueError for another `extract`.

    >>> read_answer("So the area is 12 cm.")
    '12 cm'
    """
    return _extract(response, extract, choices=choices).answer


def vote(
    responses: Sequence[str],
    *,
    extract: str = "lenient",
    choices: Sequence[str] | None = None,
    tolerance: float = 0.0,
    ties: Ties = "none",
    quorum: float = 0.0,
    seed: int = 0,
) -> Vote:
    """The vote of G responses to one question: clusters of equivalent answers, the winner, the share of the largest.

    A response without an answer never votes and counts in G. `ties` says who wins among equally large clusters: "none",
    "first", or one drawn by `seed` ("random"); `quorum` is the share of the group that must be readable for anybody to
    win; numbers within the relative `tolerance` vote together.

    >>> found = vote(["1/2", "0.5", "3"])
    >>> found.winner.answer, found.winner.members, found.tie
    ('1/2', (0, 1), False)
    """
    answers = [read_answer(response, extract=extract, choices=choices) for response in responses]
    return _vote(answers, choices=choices, tolerance=tolerance, ties=ties, quorum=quorum, seed=seed)


def grade(
    response: str,
    gold: str,
    *,
    extract: str = "lenient",
    choices: Sequence[str] | None = None,
    unit: str | None = None,
    tolerance: float = 0.0,
    precision: int | None = None,
) -> bool:
    """Whether the answer of `response` is correct against `gold`: a value, an option's letter or an option's text.

    `unit` belongs to `gold`. With `tolerance` (relative) or `precision` (decimals) numbers need not be equal.

    >>> grade("The answer is B.", "45 km", choices=["40 km", "45 km"])
    True
    """
    answer = read_answer(response, extract=extract, choices=choices)
    return _grade(answer, gold, choices=choices, unit=unit, tolerance=tolerance, precision=precision)
