"""Which groups changed most between the first and the last visit of the same prompt in a stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmupt.answers.equivalence import canonical
from mmupt.errors import RunFolderError
from mmupt.report.reading import RunData, Stage
from mmupt.runtime.groups import read_groups

SHOWN = 10
_COLUMNS = ["prompt_id", "role", "choices", "answers"]


@dataclass(frozen=True, slots=True)
class Change:
    """A prompt that was visited in two steps at least. `distance` is the total variation distance between its answers
    then and now, 0 (the same shares) to 1 (nothing in common); what could not be read counts as one answer. `first` and
    `last` are the rows in full."""

    prompt_id: str
    first_step: int
    last_step: int
    distance: float
    first: dict[str, Any]
    last: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Visit:
    step: int
    row: int
    answers: Mapping[object, float]


def changed_most(run: RunData, stage: Stage, count: int = SHOWN) -> list[Change]:
    """The `count` prompts whose answers changed most, the largest change first, then by id; those that did not change
    are left out. Files that cannot be read are passed over: `run.problems` names them already."""
    first: dict[str, _Visit] = {}
    last: dict[str, _Visit] = {}
    for prompt_id, visit in _visits(run, stage):
        first.setdefault(prompt_id, visit)
        last[prompt_id] = visit
    distances = {p: distance(first[p].answers, last[p].answers) for p in first if first[p].step != last[p].step}
    chosen = sorted((p for p, d in distances.items() if d > 0), key=lambda p: (-distances[p], p))[:count]
    return [
        Change(p, first[p].step, last[p].step, distances[p], _row(run, stage, first[p]), _row(run, stage, last[p]))
        for p in chosen
    ]


def distance(before: Mapping[object, float], after: Mapping[object, float]) -> float:
    """Total variation distance between two distributions: half the sum of the differences of their shares."""
    return sum(abs(before.get(key, 0.0) - after.get(key, 0.0)) for key in {*before, *after}) / 2


def _visits(run: RunData, stage: Stage) -> Iterator[tuple[str, _Visit]]:
    for step in stage.group_steps:
        try:
            rows: list[dict[str, Any]] = read_groups(run.layout.groups(stage.name, step), _COLUMNS)
        except RunFolderError:
            continue
        for index, row in enumerate(rows):
            if row["role"] == "answer" and row["answers"]:
                yield row["prompt_id"], _Visit(step, index, _shares(row))


def _shares(row: Mapping[str, Any]) -> dict[object, float]:
    keys = [None if a is None else canonical(a, choices=row["choices"]) for a in row["answers"]]
    return {key: count / len(keys) for key, count in Counter(keys).items()}


def _row(run: RunData, stage: Stage, visit: _Visit) -> dict[str, Any]:
    return run.groups(stage.name, visit.step)[visit.row]
