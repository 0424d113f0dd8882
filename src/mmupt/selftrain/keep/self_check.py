"""Genixer's filter (arXiv 2312.06731) turned on the model's own answers: keep what the model itself holds right.

The paper asks a second model (Fuyu-8B) about generated questions with their answers; MM-UPT's baseline asks the model
itself, 16 answers a question, and keeps those with P(yes) > 0.7. The authors' code takes the mean probability of the
words that were generated, whichever they are; here it is the probability of yes against no.
"""

from __future__ import annotations

from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Choice, KeepRule, sifted


class SelfCheck(KeepRule):
    """Keeps what has a score above `threshold`, the surest first."""

    name = "self_check"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def choose(self, heard: Heard) -> Choice:
        assert heard.scores is not None, "the stage judges for this rule"
        refused = [self._refuse(score) for score in heard.scores]
        sure = [0.0 if score is None else score for score in heard.scores]
        choice = sifted(heard, refused, [{"p_yes": score} for score in sure])
        return Choice(tuple(sorted(choice.kept, key=lambda target: -sure[int(target.name)])), choice.left_out)

    def _refuse(self, score: float | None) -> str | None:
        if score is None:
            return "no verdict"
        return None if score > self._threshold else "not sure enough"
