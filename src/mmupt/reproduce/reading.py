"""From a finished run folder to what is kept of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmupt.answers.equivalence import grade
from mmupt.evals.compare.measured import load_measured
from mmupt.recipe import Recipe, load_recipe
from mmupt.reproduce.kept import LARGEST_K, Curves, Result, Scores, digit, fingerprint
from mmupt.reproduce.runs import Case
from mmupt.reproduce.written import asked
from mmupt.runtime.files import to_json
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.sources import labeled_rows
from mmupt.train.settings import GrpoStage
from mmupt.types import LabeledPrompt


def read_result(case: Case, folder: Path) -> Result:
    """What the run in `folder` has shown. Raises RunFolderError where it is not finished or damaged."""
    layout = RunLayout(folder)
    summary = _json(layout.summary)
    rows = {str(row["stage"]): row for row in summary["stages"]}
    recipe = load_recipe(str(layout.recipe))
    return Result(
        recipe=fingerprint(case),
        measured={stage: _scores(folder, stage, row) for stage, row in rows.items()},
        guard=guard_story(folder),
        seconds=float(summary["seconds"]),
        versions=_json(layout.run)["versions"],
        curves=_curves(layout, recipe) if case.run.curves else None,
        asked=asked(layout, recipe),
    )


def last_model(folder: Path) -> Path | None:
    """The model that a run has ended with: of the stage measured last. None where there is none (yet)."""
    layout = RunLayout(folder)
    if not layout.summary.exists():
        return None
    stages = _json(layout.summary)["stages"]
    if not stages:
        return None
    return max(layout.checkpoints(str(stages[-1]["stage"])).glob("step-*"), default=None)


def guard_story(folder: Path) -> str:
    """What the guards of a run did, in a few words; of one that does nothing but watch only that."""
    told = []
    files = [file for file in sorted((folder / "guard").glob("*.json")) if not file.name.endswith(".legacy.json")]
    for file in files:
        story = _json(file)
        parts = ["did not begin"] if story["shut"] else []
        if story["rolled_back_to"] is not None:
            parts.append(f"back to step {story['rolled_back_to']}")
        if story["stopped_at"] is not None:
            parts.append(f"stopped at {story['stopped_at']}")
        warned = sum(event["action"] == "warn" for event in story["events"])
        if not parts and warned:
            parts.append(f"{warned} warning{'s' if warned > 1 else ''}")
        told.append((f"{file.stem}: " if len(files) > 1 else "") + (", ".join(parts) or "nothing seen"))
    return "; ".join(told)


def _scores(folder: Path, stage: str, row: dict[str, Any]) -> Scores:
    ((name, questions),) = load_measured(f"{folder}:{stage}").sets.items()
    ordered = sorted(questions.items())
    ks = {len(question.correct) for _, question in ordered}
    assert len(ks) == 1 and max(ks) <= LARGEST_K, "the miniatures sample ten answers to every question"
    asked = to_json([[id_, question.gold] for id_, question in ordered])
    return Scores(
        set=name,
        questions=hashlib.blake2b(asked.encode("ascii"), digest_size=8).hexdigest(),
        k=ks.pop(),
        greedy="".join(str(int(bool(question.greedy_correct))) for _, question in ordered),
        right="".join(digit(sum(question.correct)) for _, question in ordered),
        majority=round(sum(question.majority_correct or 0.0 for _, question in ordered) / len(ordered), 4),
        unreadable=round(float(row["unreadable"]), 4),
    )


def _curves(layout: RunLayout, recipe: Recipe) -> Curves:
    """Of the run's only label-free stage. Accuracy is told by the world, which the run itself has not asked."""
    (stage,) = (stage for stage in recipe.stages if isinstance(stage, GrpoStage))
    labels = {row.prompt.id: row for row in labeled_rows(stage.data, recipe.world).rows}
    steps = [
        record
        for line in layout.metrics.read_text(encoding="utf-8").splitlines()
        if (record := json.loads(line))["stage"] == stage.name
    ]
    story = _json(layout.guard(stage.name))
    measured = [(0, story["start"]), *((m["step"], m) for m in story["measurements"])]
    return Curves(
        reward=tuple(round(record["reward"], 4) for record in steps),
        semantic_entropy=tuple(round(record["semantic_entropy"], 4) for record in steps),
        accuracy=tuple(_accuracy(layout, stage.name, record["step"], labels) for record in steps),
        rank=tuple((step, round(m["effective_rank"], 2)) for step, m in measured if "effective_rank" in m),
    )


def _accuracy(layout: RunLayout, stage: str, step: int, labels: dict[str, LabeledPrompt]) -> float:
    """The share of a step's answers that are right."""

    def verdicts() -> Iterator[bool]:
        for group in read_groups(layout.groups(stage, step), ["prompt_id", "role", "answers"]):
            label = labels[str(group["prompt_id"])]
            if group["role"] == "answer":
                answers: Any = group["answers"]
                for answer in answers:
                    yield grade(answer, label.answer, choices=label.prompt.choices, unit=label.unit)

    found = list(verdicts())
    return round(sum(found) / len(found), 4)


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
