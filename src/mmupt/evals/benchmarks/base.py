"""What a benchmark is: where its rows are, how its own layout becomes ours, and what is reported about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmupt.data.columns import LETTERS
from mmupt.data.settings import DataSettings
from mmupt.types import LabeledPrompt

SourceRow = Mapping[str, object]
"""A row as the benchmark's authors lay it out."""

OwnRow = dict[str, object]
"""A row in mmupt's own format: id, question, images, answer, answer_kind, ans_type, choices, unit, solution, meta."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to one question: what a rule or a metric judges. `correct` is the verdict of mmupt's own grader."""

    row: LabeledPrompt
    response: str
    answer: str | None
    correct: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A benchmark's own way to judge one answer, reported beside ours under `name`."""

    name: str
    judge: Callable[[Answered], bool]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark, as the registry knows it.

    `data` says where its rows are (a path without `hub:` must be given by the user) and whether rows that cannot be
    asked stop a run. A row that has all of `source_columns` is in the authors' layout and goes through `convert`; any
    other is taken for mmupt's own format, so that a local file may be either. `convert` is given these columns and
    those of `optional_columns` that there are, and raises `RowProblem` for what it cannot read.
    `breakdowns` are keys of `meta` whose values the accuracies are broken down by (a list counts under each value).
    `metric` turns one answer to each question into figures of the whole set, in [0, 1].
    """

    name: str
    title: str
    paper: str
    data: DataSettings
    source_columns: frozenset[str]
    convert: Callable[[SourceRow], OwnRow]
    optional_columns: frozenset[str] = frozenset()
    breakdowns: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    metric: Callable[[Sequence[Answered]], Mapping[str, float]] | None = field(default=None)


def gold_text(row: LabeledPrompt) -> str:
    """The gold answer of a question with choices, as the text of its option.

    Rows say by `answer_kind` whether their gold answer is a letter; without it a text among the choices is that option.
    """
    choices = row.prompt.choices or ()
    kind = row.meta.get("answer_kind")
    if kind == "choice_text" or (kind != "letter" and row.answer in choices):
        return row.answer
    index = LETTERS.find(row.answer.strip()) if len(row.answer.strip()) == 1 else -1
    return choices[index] if 0 <= index < len(choices) else row.answer
