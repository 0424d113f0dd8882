"""A right over a wrong own answer. Reads labels."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.answers.settings import AnswerSettings
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.gold import own_right
from mmupt.selftrain.prefer.base import Preference, Preferences, PreferRule, different, nothing
from mmupt.types import LabeledPrompt


class RightOverWrong(PreferRule):
    """The k-th right answer over the k-th wrong one, so that no response is in two pairs. What cannot be read is wrong,
    as it is to a reward."""

    name = "gold"

    def __init__(self, answers: AnswerSettings, labels: Mapping[str, LabeledPrompt], most: int) -> None:
        self._answers, self._labels, self._most = answers, labels, most

    def prefer(self, heard: Heard) -> Preferences:
        verdicts = own_right(heard, self._labels[heard.prompt.id], self._answers)
        texts = {
            response.text.strip(): right
            for i, (response, right) in enumerate(zip(heard.responses, verdicts, strict=True))
            if heard.whole(i)
        }
        right, wrong = ([text for text, verdict in texts.items() if verdict is side] for side in (True, False))
        if not right or not wrong:
            return nothing("no wrong answer" if right else "no right answer" if wrong else "cut off")
        return different([Preference(good, bad) for good, bad in zip(right, wrong, strict=False)], self._most)
