"""From responses to verdicts: mmupt's own grader, and beside it the benchmark's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.answers.scoring import majority_correct
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.evals.benchmarks.base import Answered, Rule
from mmupt.evals.responses import Response, Responses
from mmupt.types import LabeledPrompt, Vote


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Which responses to one question are right, in one grader's eyes."""

    greedy: bool
    samples: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """One question with all its responses and what every grader says of them.

    `greedy_answer` and `vote.answers` are what could be read, None where nothing could. `majority_correct` is the share
    of the largest clusters that are right: 0 or 1 without a tie. `by_rule` holds the benchmark's own verdicts by the
    rule's name, `judged` those of a judge.
    """

    row: LabeledPrompt
    responses: Responses
    greedy_answer: str | None
    vote: Vote
    ours: Verdicts
    majority_correct: float
    by_rule: Mapping[str, Verdicts] = field(default_factory=dict)
    judged: Verdicts | None = None

    def answered(self) -> Iterator[Answered]:
        """The greedy response, then the samples, as rules and metrics see them."""
        texts = [self.responses.greedy, *self.responses.samples]
        answers = [self.greedy_answer, *self.vote.answers]
        for response, answer, correct in zip(texts, answers, [self.ours.greedy, *self.ours.samples], strict=True):
            yield Answered(self.row, response.text, answer, correct)


def grade_question(
    row: LabeledPrompt, responses: Responses, settings: AnswerSettings, rules: Sequence[Rule] = ()
) -> GradedQuestion:
    """Reads every response, votes among the samples, and compares with the gold answer.

    A `precision` in `row.meta` (decimals) is that of the gold answer: numbers are rounded to it.
    """
    choices = row.prompt.choices
    precision = row.meta.get("precision")

    def read(response: Response) -> str | None:
        return extract(response.text, settings.extract, choices=choices).answer

    def right(answer: str | None) -> bool:
        return grade(
            answer,
            row.answer,
            choices=choices,
            unit=row.unit,
            tolerance=settings.tolerance,
            precision=precision if isinstance(precision, int) else None,
        )

    best = read(responses.greedy)
    answers = [read(sample) for sample in responses.samples]
    outcome = vote(answers, choices=choices, tolerance=settings.tolerance)
    question = GradedQuestion(
        row=row,
        responses=responses,
        greedy_answer=best,
        vote=outcome,
        ours=Verdicts(right(best), tuple(map(right, answers))),
        majority_correct=majority_correct(outcome, right),
    )
    return replace(question, by_rule={rule.name: _by_rule(question, rule) for rule in rules})


def _by_rule(question: GradedQuestion, rule: Rule) -> Verdicts:
    greedy, *samples = (rule.judge(answered) for answered in question.answered())
    return Verdicts(greedy, tuple(samples))
