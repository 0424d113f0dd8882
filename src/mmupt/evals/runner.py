"""Measuring a model: greedy, mean@k, maj@k and pass@k on questions with gold answers.

mean@k is the accuracy of one sample, maj@k that of the vote of k (a tie counts by the share of tied clusters that are
right), pass@k the share of questions that at least one of k samples gets right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.engines.base import Engine, Request, Sampling
from mmupt.errors import DataError
from mmupt.evals.settings import EvaluationSettings
from mmupt.evals.statistics import Estimate, estimate
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.runtime.progress import Progress
from mmupt.runtime.seeds import derive_seed
from mmupt.types import EncodedPrompt, GroupScore, LabeledPrompt, Rollout, RolloutGroup, Vote


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """One question with its greedy answer and its k samples, each graded."""

    row: LabeledPrompt
    encoded: EncodedPrompt
    greedy: Rollout
    greedy_correct: bool
    samples: tuple[Rollout, ...]
    correct: tuple[bool, ...]
    vote: Vote
    majority_correct: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate`: what `summary.json` and `evals/` are made of."""

    name: str
    k: int
    questions: tuple[GradedQuestion, ...]
    skipped: int
    figures: dict[str, Estimate]
    unreadable: float

    def summary(self) -> dict[str, object]:
        """Flat and plain, for `summary.json`."""
        entry: dict[str, object] = {"name": self.name, "n": len(self.questions), "k": self.k}
        for figure, e in self.figures.items():
            entry[figure] = e.value
            entry[f"{figure}_interval"] = [e.low, e.high]
        return {**entry, "unreadable": self.unreadable, "skipped": self.skipped}

    def groups(self) -> tuple[list[RolloutGroup], list[GroupScore]]:
        """The samples in the shape the run folder keeps groups in, with correctness as the reward."""
        groups = [RolloutGroup(q.row.prompt, q.encoded, q.samples) for q in self.questions]
        scores = [GroupScore(tuple(map(float, q.correct)), q.vote) for q in self.questions]
        return groups, scores


def evaluate(
    name: str,
    rows: Sequence[LabeledPrompt],
    encoder: PromptEncoder,
    engine: Engine,
    settings: EvaluationSettings,
    *,
    seed: int,
    progress: Progress,
) -> Evaluation:
    """Every row is answered once greedily and `settings.samples` times by sampling. Sampling seeds derive from (seed,
    prompt id, index), so that two models are compared on the same random numbers."""
    greedy = Sampling(0.0, 1.0, settings.max_new_tokens)
    sampled = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    questions: list[GradedQuestion] = []
    progress.stage(f"{name} (evaluation)", len(rows))
    for start in range(0, len(rows), settings.prompts_at_once):
        part, encoded = _encodable(rows[start : start + settings.prompts_at_once], encoder, settings)
        one = engine.generate([Request(e, (0,)) for e in encoded], greedy)
        many = engine.generate(
            [
                Request(e, tuple(derive_seed(seed, "evaluation", row.prompt.id, i) for i in range(settings.samples)))
                for e, row in zip(encoded, part, strict=True)
            ],
            sampled,
        )
        for row, e, (best,), samples in zip(part, encoded, one, many, strict=True):
            questions.append(_grade(row, e, best, samples, settings.answers))
        progress.advance(min(start + settings.prompts_at_once, len(rows)), len(rows))
    if not questions:
        raise DataError(f"{settings.data.path}: none of its {len(rows)} questions can be put to the model")
    return _summarise(name, questions, len(rows) - len(questions), settings, seed)


def _encodable(
    rows: Sequence[LabeledPrompt], encoder: PromptEncoder, settings: EvaluationSettings
) -> tuple[list[LabeledPrompt], list[EncodedPrompt]]:
    """Rows with their encoding, without those that the settings allow to be skipped; the result counts these."""
    kept: list[LabeledPrompt] = []
    encoded: list[EncodedPrompt] = []
    for row in rows:
        try:
            encoded.append(encoder(row.prompt))
            kept.append(row)
        except DataError as error:
            long = isinstance(error, PromptTooLong)
            if (settings.prompt.too_long if long else settings.data.bad_rows) == "stop":
                raise
    return kept, encoded


def _grade(
    row: LabeledPrompt, encoded: EncodedPrompt, best: Rollout, samples: tuple[Rollout, ...], settings: AnswerSettings
) -> GradedQuestion:
    choices = row.prompt.choices

    def read(rollout: Rollout) -> str | None:
        return extract(rollout.text, settings.extract).answer

    def right(answer: str | None) -> bool:
        return grade(answer, row.answer, choices=choices, unit=row.unit, tolerance=settings.tolerance)

    answers = [read(rollout) for rollout in samples]
    outcome = vote(answers, choices=choices, tolerance=settings.tolerance)
    largest = [c for c in outcome.clusters if len(c.members) == len(outcome.clusters[0].members)]
    return GradedQuestion(
        row=row,
        encoded=encoded,
        greedy=best,
        greedy_correct=right(read(best)),
        samples=samples,
        correct=tuple(map(right, answers)),
        vote=outcome,
        majority_correct=sum(right(c.answer) for c in largest) / len(largest) if largest else 0.0,
    )


def _summarise(
    name: str, questions: Sequence[GradedQuestion], skipped: int, settings: EvaluationSettings, seed: int
) -> Evaluation:
    k = settings.samples
    scores_Q = {
        "greedy": [float(q.greedy_correct) for q in questions],
        f"mean@{k}": [sum(q.correct) / k for q in questions],
        f"maj@{k}": [q.majority_correct for q in questions],
        f"pass@{k}": [float(any(q.correct)) for q in questions],
    }
    figures = {
        figure: estimate(np.array(values), resamples=settings.bootstrap, seed=seed)
        for figure, values in scores_Q.items()
    }
    readable = sum(q.vote.num_answers for q in questions)
    return Evaluation(name, k, tuple(questions), skipped, figures, 1.0 - readable / (k * len(questions)))
