"""LMSI (arXiv 2210.11610): imitate the own answers that agree with the majority of their group.

All paths that lead to the most consistent answer are kept, as in the paper; its mixture of answer formats (with and
without few-shot examples and reasoning) has no counterpart here, where there is one format. A tie has no majority.
"""

from __future__ import annotations

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Choice, KeepRule, sifted


class Majority(KeepRule):
    """Keeps the members of the winning cluster, if its share of the whole group is at least `min_share`."""

    name = "majority"

    def __init__(self, answers: AnswerSettings, min_share: float) -> None:
        self._answers, self._min_share = answers, min_share

    def choose(self, heard: Heard) -> Choice:
        found = vote(heard.answers, choices=heard.prompt.choices, tolerance=self._answers.tolerance)
        members = found.winner.members if found.winner is not None else ()
        nobody = (
            "no majority" if found.winner is None else "majority too small" if found.share < self._min_share else None
        )
        refused = [nobody or (None if i in members else "not the majority answer") for i in range(found.size)]
        return sifted(heard, refused, [{"share": found.share}] * found.size)
