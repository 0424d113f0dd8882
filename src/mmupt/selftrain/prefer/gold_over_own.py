"""SPIN (arXiv 2401.01335): the data's solution over the model's own answer, until the two cannot be told apart. Reads
labels.

The paper draws one own answer a prompt and takes it whatever it says; so does this, for each of the group. Its later
iterations learn from the pairs of the one before as well; a recipe here learns from those of its own stage alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.selftrain.heard import Heard
from mmupt.selftrain.prefer.base import Preference, Preferences, PreferRule, different, nothing
from mmupt.types import LabeledPrompt


class DataOverOwn(PreferRule):
    """The solution over each own answer. A prompt without a worked solution brings nothing: a bare answer over worked
    ones would teach to stop working."""

    name = "gold_over_own"

    def __init__(self, labels: Mapping[str, LabeledPrompt], most: int) -> None:
        self._labels, self._most = labels, most

    def prefer(self, heard: Heard) -> Preferences:
        solution = self._labels[heard.prompt.id].solution
        if solution is None:
            return nothing("no worked solution in the data")
        own = [response.text.strip() for i, response in enumerate(heard.responses) if heard.whole(i)]
        if not own:
            return nothing("cut off")
        return different([Preference(solution, text) for text in own], self._most)
