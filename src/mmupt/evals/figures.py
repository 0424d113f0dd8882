"""The figures of a measurement: greedy, mean@k, maj@k, pass@k, the same broken down, and every other grader's.

mean@k is the accuracy of one sample, maj@k that of the vote of k (a tie counts by the share of tied clusters that are
right), pass@k the share of questions that at least one of k samples gets right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmupt.evals.benchmarks.base import Answered
from mmupt.evals.grading import GradedQuestion, Verdicts
from mmupt.evals.results import main_figures_of
from mmupt.evals.statistics import Estimate, estimate

QUESTION_TYPE = "type"
"""The breakdown every set has: `choice` or `open`."""
_MAX_VALUES = 100  # values of one breakdown; a key with more names the questions, not kinds of them

Figures = dict[str, Estimate]
Metric = Callable[[Sequence[Answered]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Slice:
    """The questions that share a value of a breakdown, and how they went."""

    count: int
    figures: Figures


def main_figures(questions: Sequence[GradedQuestion], k: int, *, resamples: int, seed: int) -> Figures:
    """greedy, mean@k, maj@k and pass@k by mmupt's own grader."""
    figures = verdict_figures([q.ours for q in questions], k, resamples=resamples, seed=seed)
    figures[f"maj@{k}"] = estimate(np.array([q.majority_correct for q in questions]), resamples=resamples, seed=seed)
    return {name: figures[name] for name in main_figures_of(k)}


def verdict_figures(verdicts: Sequence[Verdicts], k: int, *, resamples: int, seed: int) -> Figures:
    """greedy, mean@k and pass@k by any grader."""
    scores_Q = {
        "greedy": [float(v.greedy) for v in verdicts],
        f"mean@{k}": [sum(v.samples) / k for v in verdicts],
        f"pass@{k}": [float(any(v.samples)) for v in verdicts],
    }
    return {name: estimate(np.array(values), resamples=resamples, seed=seed) for name, values in scores_Q.items()}


def broken_down(
    questions: Sequence[GradedQuestion], keys: Sequence[str], k: int, *, resamples: int, seed: int
) -> dict[str, dict[str, Slice]]:
    """The main figures by the values of each key of `meta`, and by question type; a list counts under each value.

    Left out: keys that no question has, that have one value only, or more than 100.
    """
    result = {}
    for key in dict.fromkeys((QUESTION_TYPE, *keys)):
        members: dict[str, list[GradedQuestion]] = {}
        for question in questions:
            for value in _values(question, key):
                members.setdefault(value, []).append(question)
        if 1 < len(members) <= _MAX_VALUES:
            result[key] = {
                value: Slice(len(part), main_figures(part, k, resamples=resamples, seed=seed))
                for value, part in sorted(members.items())
            }
    return result


def metric_figures(questions: Sequence[GradedQuestion], metric: Metric, k: int) -> dict[str, dict[str, float]]:
    """A metric of the whole set, on the greedy answers and as the mean over the k sets of samples."""
    columns = list(zip(*(question.answered() for question in questions), strict=True))
    greedy, *samples = (metric(column) for column in columns)
    return {
        "greedy": dict(greedy),
        f"mean@{k}": {name: float(np.mean([one[name] for one in samples])) for name in greedy},
    }


def _values(question: GradedQuestion, key: str) -> Iterator[str]:
    if key == QUESTION_TYPE:
        yield "choice" if question.row.prompt.choices else "open"
        return
    value = question.row.meta.get(key)
    for item in value if isinstance(value, list | tuple) else [value]:
        if item is not None:
            yield str(item)
