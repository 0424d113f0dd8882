"""Responses graded against gold answers, and the figures of a whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import Extracted, extract
from mmupt.answers.settings import AnswerSettings
from mmupt.offline.output import Record
from mmupt.offline.rows import ResponseRow
from mmupt.runtime.files import well_formed

NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class GradedRow:
    """A row with the answer and the verdict of each of its responses."""

    row: ResponseRow
    extracted: tuple[Extracted, ...]
    correct: tuple[bool, ...]

    @property
    def accuracy(self) -> float:
        """The share of the row's responses that are correct."""
        return sum(self.correct) / len(self.correct)

    def record(self) -> Record:
        """The row of the output: lists for `responses`, scalars for `response`; `extracted` null without an answer."""
        answers = [None if e.answer is None else well_formed(e.answer) for e in self.extracted]
        if self.row.single:
            return {"id": self.row.id, "extracted": answers[0], "correct": self.correct[0]}
        return {"id": self.row.id, "extracted": answers, "correct": list(self.correct)}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A response in which no answer was found: the row's id, the response's place in it from 0, and why."""

    id: str
    index: int
    response: str
    reason: str


@dataclass(slots=True)
class GradeSummary:
    """The figures of the rows added so far, and the first few responses without an answer."""

    n: int = 0
    num_responses: int = 0
    no_answer: int = 0
    examples: list[NoAnswer] = field(default_factory=list)
    _accuracy_sum: float = 0.0

    def add(self, graded: GradedRow) -> None:
        self.n += 1
        self.num_responses += len(graded.correct)
        self._accuracy_sum += graded.accuracy
        for index, found in enumerate(graded.extracted):
            if found.answer is None:
                self.no_answer += 1
                if len(self.examples) < NUM_EXAMPLES:
                    response = graded.row.responses[index]
                    self.examples.append(NoAnswer(graded.row.id, index, response, found.reason or "no answer"))

    def figures(self) -> dict[str, object]:
        """`n` rows, `accuracy` the mean over rows of each row's share of correct responses, `no_answer` the number of
        responses without an answer."""
        return {"n": self.n, "accuracy": self._accuracy_sum / self.n, "no_answer": self.no_answer}


def grade_row(row: ResponseRow, settings: AnswerSettings) -> GradedRow:
    """Read and grade each response of a labeled row. Raises ValueError where the row has no gold answer."""
    if row.answer is None:
        raise ValueError(f"row {row.id} has no gold answer to grade against")
    extracted = tuple(extract(response, settings.extract, choices=row.choices) for response in row.responses)
    verdicts = grade_answers(row, [e.answer for e in extracted], row.answer, settings)
    return GradedRow(row, extracted, tuple(e.answer is not None and verdicts[e.answer] for e in extracted))


def grade_answers(
    row: ResponseRow, answers: Iterable[str | None], gold: str, settings: AnswerSettings
) -> dict[str, bool]:
    """Whether each answer that could be read is correct; one given several times is graded once."""
    return {
        answer: grade(
            answer,
            gold,
            choices=row.choices,
            unit=row.unit,
            tolerance=settings.tolerance,
            precision=row.precision,
        )
        for answer in dict.fromkeys(answers)
        if answer is not None
    }


def grade_rows(rows: Iterable[ResponseRow], settings: AnswerSettings, summary: GradeSummary) -> Iterator[Record]:
    """The output rows in input order, one at a time; `summary` is complete when they have been gone through."""
    for row in rows:
        graded = grade_row(row, settings)
        summary.add(graded)
        yield graded.record()
