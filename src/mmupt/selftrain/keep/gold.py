"""Rejection-sampled SFT: imitate the own answers that are right. Reads labels."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.answers.equivalence import grade
from mmupt.answers.settings import AnswerSettings
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Choice, KeepRule, sifted
from mmupt.types import LabeledPrompt


class Gold(KeepRule):
    """Keeps what `grade` finds correct against the prompt's gold answer."""

    name = "gold"

    def __init__(self, answers: AnswerSettings, labels: Mapping[str, LabeledPrompt]) -> None:
        self._answers, self._labels = answers, labels

    def choose(self, heard: Heard) -> Choice:
        right = own_right(heard, self._labels[heard.prompt.id], self._answers)
        return sifted(heard, [None if r else "wrong" for r in right], [{}] * len(right))


def own_right(heard: Heard, label: LabeledPrompt, answers: AnswerSettings) -> list[bool]:
    """Whether each response gives the gold answer."""
    choices, tolerance = label.prompt.choices, answers.tolerance
    return [grade(a, label.answer, choices=choices, unit=label.unit, tolerance=tolerance) for a in heard.answers]
