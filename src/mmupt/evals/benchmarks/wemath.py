"""We-Math (arXiv 2407.01284): 525 problems with their one-step sub-questions, 1740 questions in testmini.

Layout of `We-Math/We-Math`: ID (of the problem), split, knowledge concept, question, option (`A. 4;B. 5; ...`), answer
(a letter), image_path (the picture), key (2steps_1, 2steps_2, 2steps_multi, 3steps_1, ...), question number, knowledge
concept description. The options become `choices`; where they do not split beyond doubt they stay in the question, as
the authors ask them, and the choices are the letters.

The metric is the authors' (their four_dimensional_metrics and accuracy). A problem is a two- or three-step question
with its sub-questions, all of them answered:

| | sub-questions | the whole |
|---|---|---|
| IK insufficient knowledge | not all right | wrong |
| IG inadequate generalisation | all right | wrong |
| CM complete mastery, strict (loose) | all right (at least one) | right |
| RM rote memorisation, strict (loose) | not all right (none) | right |

`score = CM + 0.5 IG` as shares of the problems, strict and loose. The paper's table shows RM as `rm_rate = RM / (RM +
CM)`. S1, S2, S3 are the accuracies on one-step, two-step and three-step questions. Where a published figure divides by
525, here it is by the problems that are complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from mmupt.data.columns import RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Answered, Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import (
    count_letters,
    gold_letter,
    items,
    lettered_options,
    letters,
    picture,
    text,
)

_STEPS = {"2steps": 2, "3steps": 3}
_WHOLE = "multi"


def convert(row: SourceRow) -> OwnRow:
    problem, key = text(row, "ID"), text(row, "key")
    kind, _, step = key.partition("_")
    if kind not in _STEPS or step not in {_WHOLE, *map(str, range(1, _STEPS[kind] + 1))}:
        raise RowProblem("key", f'is "{key}"; 2steps_1, 2steps_2, 2steps_multi, 3steps_1, ... are known')
    question, written = text(row, "question"), text(row, "option")
    choices = lettered_options(written)
    if choices is None:
        question, choices = f"{question}\n{written}", letters(count_letters(written))
    return {
        "id": f"wemath-{problem}-{step}",
        "question": question,
        "images": [picture(row, "image_path")],
        "choices": list(choices),
        "answer": gold_letter(row, "answer", choices),
        "answer_kind": "letter",
        "meta": {"problem": problem, "key": key, "knowledge_concept": list(items(row, "knowledge concept", ";"))},
    }


@dataclass(frozen=True, slots=True)
class Problem:
    """How the sub-questions of a problem went, and the whole."""

    parts: tuple[bool, ...]
    whole: bool


def metric(answered: Sequence[Answered]) -> Mapping[str, float]:
    """The figures above, each where there is something to count: a set cut short may hold no complete problem."""
    figures = {name: fmean(verdicts) for name, verdicts in _by_steps(answered).items() if verdicts}
    problems = _complete_problems(answered)
    return figures | (four_dimensions(problems) if problems else {})


def four_dimensions(problems: Sequence[Problem]) -> dict[str, float]:
    """The shares of the four outcomes among at least one problem, and the scores."""

    def share(*outcomes: bool) -> float:
        return fmean(outcomes)

    figures = {
        "ik": share(*(not p.whole and not all(p.parts) for p in problems)),
        "ig": share(*(not p.whole and all(p.parts) for p in problems)),
    }
    for name, mastered in (("strict", all), ("loose", any)):
        cm = share(*(p.whole and mastered(p.parts) for p in problems))
        rm = share(*(p.whole and not mastered(p.parts) for p in problems))
        figures |= {
            f"cm_{name}": cm,
            f"rm_{name}": rm,
            f"rm_rate_{name}": rm / (rm + cm) if rm + cm else 0.0,
            f"score_{name}": cm + 0.5 * figures["ig"],
        }
    return figures


def _by_steps(answered: Sequence[Answered]) -> dict[str, list[bool]]:
    verdicts: dict[str, list[bool]] = {"s1": [], "s2": [], "s3": []}
    for one in answered:
        kind, _, step = str(one.row.meta.get("key")).partition("_")
        if kind in _STEPS:
            verdicts[f"s{_STEPS[kind]}" if step == _WHOLE else "s1"].append(one.correct)
    return verdicts


def _complete_problems(answered: Sequence[Answered]) -> list[Problem]:
    verdicts: dict[tuple[str, str], dict[str, bool]] = {}
    for one in answered:
        kind, _, step = str(one.row.meta.get("key")).partition("_")
        if kind in _STEPS:
            verdicts.setdefault((str(one.row.meta.get("problem")), kind), {})[step] = one.correct
    problems = []
    for (_, kind), steps in verdicts.items():
        parts = [str(step) for step in range(1, _STEPS[kind] + 1)]
        if steps.keys() >= {*parts, _WHOLE}:
            problems.append(Problem(tuple(steps[part] for part in parts), steps[_WHOLE]))
    return problems


BENCHMARK = Benchmark(
    name="wemath",
    title="We-Math",
    paper="arXiv 2407.01284",
    data=DataSettings(path="hub:We-Math/We-Math", split="testmini", placeholders="prepend"),
    source_columns=frozenset({"ID", "key", "question", "option", "answer", "image_path"}),
    optional_columns=frozenset({"knowledge concept"}),
    convert=convert,
    breakdowns=("key", "knowledge_concept"),
    metric=metric,
)
