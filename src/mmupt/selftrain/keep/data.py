"""STIC's second stage as published (arXiv 2405.19716): the data's own solution as the target of a question with the
model's description in front. Reads labels."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Choice, KeepRule, Target
from mmupt.types import LabeledPrompt


class FromData(KeepRule):
    """One target a prompt: its solution, or its answer in a box where it has none, as `sft` itself would take it."""

    name = "data"

    def __init__(self, labels: Mapping[str, LabeledPrompt]) -> None:
        self._labels = labels

    def choose(self, heard: Heard) -> Choice:
        label = self._labels[heard.prompt.id]
        text = label.solution if label.solution is not None else f"\\boxed{{{label.answer}}}"
        return Choice((Target(text, label.answer, "data"),))
