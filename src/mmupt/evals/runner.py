"""Measuring a model on a set of questions with gold answers: ask, grade, judge, count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmupt.engines.base import Engine
from mmupt.errors import DataError
from mmupt.evals.answering import answer_questions
from mmupt.evals.figures import Figures, Slice, broken_down, main_figures, metric_figures, verdict_figures
from mmupt.evals.grading import GradedQuestion, Verdicts, grade_question
from mmupt.evals.judge import Case, judge_cases
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings, JudgeSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.runtime.progress import Progress


@dataclass(frozen=True, slots=True)
class Places:
    """Where a measurement keeps what it has so far: a folder of answers, a file of verdicts."""

    parts: Path
    judge: Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one set.

    `figures` are by mmupt's own grader, `by_rule` by the benchmark's own rules, `judged` by a judge where one was asked
    (`undecided` is the share of its verdicts that could not be read, which count as wrong). `metric` holds figures of
    the whole set. `unreadable` is the share of samples without an answer, `skipped` the number of rows left out.
    """

    stage: str
    set: EvaluationSet
    k: int
    questions: tuple[GradedQuestion, ...]
    skipped: int
    unreadable: float
    figures: Figures
    breakdowns: Mapping[str, Mapping[str, Slice]] = field(default_factory=dict)
    by_rule: Mapping[str, Figures] = field(default_factory=dict)
    metric: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    judged: Figures | None = None
    undecided: float = 0.0

    @property
    def name(self) -> str:
        return self.set.measurement(self.stage)

    def summary(self) -> dict[str, object]:
        """Plain values for `summary.json` and `evals/<name>.json`; the main figures lie flat."""
        entry: dict[str, object] = {
            "name": self.name,
            "stage": self.stage,
            "set": self.set.name,
            "n": len(self.questions),
            "k": self.k,
            **_plain(self.figures),
            "unreadable": self.unreadable,
            "skipped": self.skipped,
        }
        if self.by_rule:
            entry["rules"] = {name: _plain(figures) for name, figures in self.by_rule.items()}
        if self.judged is not None:
            entry["judged"] = {**_plain(self.judged), "undecided": self.undecided}
        if self.metric:
            entry["metric"] = {name: dict(values) for name, values in self.metric.items()}
        if self.breakdowns:
            entry["breakdowns"] = {
                key: {value: {"n": part.count, **_plain(part.figures)} for value, part in parts.items()}
                for key, parts in self.breakdowns.items()
            }
        return entry


def evaluate(
    stage: str,
    questions: EvaluationSet,
    encoder: PromptEncoder,
    engine: Engine,
    settings: EvaluationSettings,
    *,
    seed: int,
    progress: Progress,
    places: Places | None = None,
) -> Evaluation:
    """Every row is answered once greedily and `settings.samples` times by sampling, and every answer graded.

    With `places`, what was answered and judged before an interruption is taken over. A judge needs them.
    Raises DataError where no question can be put to the model, and whatever asking and judging raise.
    """
    name = questions.measurement(stage)
    parts = places.parts if places is not None else None
    answered = answer_questions(
        questions, encoder, engine, settings, name=name, seed=seed, progress=progress, parts=parts
    )
    if not answered:
        raise DataError(f"{questions.name}: none of its {len(questions.rows.rows)} questions can be put to the model")
    rules = questions.benchmark.rules if questions.benchmark is not None else ()
    graded = [grade_question(row, responses, settings.answers, rules) for row, responses in answered]
    undecided = 0.0
    if settings.judge is not None:
        if places is None:
            raise ValueError("a judge needs a place for its verdicts")
        graded, undecided = _judged(graded, settings.judge, places.judge, name, progress)
    return _counted(stage, questions, graded, len(questions.rows.rows) - len(graded), undecided, settings, seed)


def _judged(
    questions: Sequence[GradedQuestion], settings: JudgeSettings, cache: Path, name: str, progress: Progress
) -> tuple[list[GradedQuestion], float]:
    """The questions with a judge's verdicts, and the share of verdicts that say neither right nor wrong."""
    cases = [
        Case(f"{number}:{index}", q.row.prompt.question, q.row.answer, answered.response, q.row.prompt.choices)
        for number, q in enumerate(questions)
        for index, answered in enumerate(q.answered())
    ]
    progress.stage(f"{name} (judge)", len(cases))
    verdicts = judge_cases(cases, settings, cache, advance=progress.advance)
    judged = []
    for number, question in enumerate(questions):
        greedy, *samples = (
            verdicts[f"{number}:{index}"].correct is True for index in range(1 + len(question.responses.samples))
        )
        judged.append(replace(question, judged=Verdicts(greedy, tuple(samples))))
    return judged, sum(verdict.correct is None for verdict in verdicts.values()) / len(cases)


def _counted(
    stage: str,
    questions: EvaluationSet,
    graded: Sequence[GradedQuestion],
    skipped: int,
    undecided: float,
    settings: EvaluationSettings,
    seed: int,
) -> Evaluation:
    k, resamples = settings.samples, settings.bootstrap
    benchmark = questions.benchmark
    readable = sum(q.vote.num_answers for q in graded)
    judged = [q.judged for q in graded if q.judged is not None]
    keys = (*(benchmark.breakdowns if benchmark is not None else ()), *settings.breakdowns)
    rules = [rule.name for rule in benchmark.rules] if benchmark is not None else []
    metric = benchmark.metric if benchmark is not None else None
    return Evaluation(
        stage=stage,
        set=questions,
        k=k,
        questions=tuple(graded),
        skipped=skipped,
        unreadable=1.0 - readable / (k * len(graded)),
        figures=main_figures(graded, k, resamples=resamples, seed=seed),
        breakdowns=broken_down(graded, keys, k, resamples=resamples, seed=seed),
        by_rule={
            rule: verdict_figures([q.by_rule[rule] for q in graded], k, resamples=resamples, seed=seed)
            for rule in rules
        },
        metric=metric_figures(graded, metric, k) if metric is not None else {},
        judged=verdict_figures(judged, k, resamples=resamples, seed=seed) if judged else None,
        undecided=undecided,
    )


def _plain(figures: Figures) -> dict[str, object]:
    """Each figure as a number, its interval beside it under `<figure>_interval`."""
    plain: dict[str, object] = {}
    for name, figure in figures.items():
        plain[name] = figure.value
        plain[f"{name}_interval"] = [figure.low, figure.high]
    return plain
