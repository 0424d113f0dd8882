"""A run folder as the report needs it: whatever can be read, and a sentence on each thing that cannot."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmupt.errors import RunFolderError
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

_TRAINING = ("sft", "rl", "upt", "dpo")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over all groups that were kept of a stage and answer its questions. `first_top` and `last_top` are the
    shares of the most common majority answer among the voted groups of the first and of the last step, None where fewer
    than 8 had one."""

    responses: int
    unreadable: int
    first_top: float | None
    last_top: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """A training stage: its steps in `metrics.jsonl`, its settings in the recipe, the steps whose groups were kept, and
    the story of its guard where it had one (a stage that its guard kept from beginning has no steps)."""

    name: str
    kind: str
    records: list[dict[str, Any]]
    settings: dict[str, Any]
    group_steps: list[int]
    tally: Tally | None
    guard: dict[str, Any] | None = None

    def series(self, key: str) -> list[tuple[float, float]]:
        """(step, value) wherever both are numbers; values may be NaN or infinite."""
        points = [(number(record.get("step")), number(record.get(key))) for record in self.records]
        return [(step, value) for step, value in points if step is not None and value is not None]


@dataclass(slots=True)
class RunData:
    """`problems` says what is missing or damaged, `unfinished` what the recipe plans and the run has not done."""

    layout: RunLayout
    about: dict[str, Any] = field(default_factory=dict)
    recipe_text: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def results_by_set(self) -> dict[str, list[dict[str, Any]]]:
        """The measurements of each set, in their order."""
        sets: dict[str, list[dict[str, Any]]] = {}
        for row in self.results:
            sets.setdefault(str(row.get("set", "")), []).append(row)
        return sets

    def groups(self, stage: str, step: int) -> list[dict[str, Any]]:
        """The groups of a step; none, and a problem noted, where the file is damaged."""
        try:
            return read_groups(self.layout.groups(stage, step))
        except RunFolderError as error:
            self.problems.append(str(error))
            return []


def number(value: object) -> float | None:
    """`value` as a float where it is a number (or one of the strings "nan", "inf", "-inf" that stand for one)."""
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_run(root: Path) -> RunData:
    """Raises RunFolderError only where `root` is no folder; a run that was stopped at any moment can be read."""
    if not root.is_dir():
        raise RunFolderError(f"{root}: there is no run folder; check the path")
    run = RunData(RunLayout(root))
    run.about = _json(run, run.layout.run, "versions and seed are unknown")
    run.summary = _json(run, run.layout.summary, "no results: the run has not come to its first measurement")
    stages = run.summary.get("stages", [])
    run.results = [row for row in stages if isinstance(row, dict)] if isinstance(stages, list) else []
    try:
        run.recipe_text = run.layout.recipe.read_text(encoding="utf-8", errors="replace")
        run.recipe = tomllib.loads(run.recipe_text)
    except FileNotFoundError:
        run.problems.append("recipe.toml is missing")
    except (tomllib.TOMLDecodeError, OSError) as error:
        run.problems.append(f"recipe.toml cannot be read ({error})")
    _read_stages(run)
    run.unfinished = _unfinished(run)
    return run


def _read_stages(run: RunData) -> None:
    try:
        records = read_metrics(run.layout.metrics)
    except RunFolderError as error:
        run.problems.append(str(error))
        records = []
    if not records and any(stage.get("kind") in _TRAINING for stage in _planned(run)):
        run.problems.append("metrics.jsonl holds no training step")
    planned = {str(stage.get("name")): stage for stage in _planned(run)}
    logged = dict.fromkeys(str(record.get("stage")) for record in records)
    guarded = [name for name in planned if name in logged or _is_guarded(run, name)]
    for name in dict.fromkeys([*guarded, *logged]):
        own = [record for record in records if str(record.get("stage")) == name]
        settings = planned.get(name, {})
        try:
            steps = run.layout.group_steps(name)
        except ValueError:  # a name no recipe can have, so somebody has edited the log
            steps = []
        kind = str((own[0] if own else settings).get("kind", settings.get("kind", "")))
        told = _json(run, run.layout.guard(name), "what the guard did is unknown") if _is_guarded(run, name) else {}
        run.stages.append(Stage(name, kind, own, settings, steps, _tally(run, name, steps), told or None))


def _is_guarded(run: RunData, stage: str) -> bool:
    try:
        return run.layout.guard(stage).exists()
    except ValueError:
        return False


def _tally(run: RunData, stage: str, steps: list[int]) -> Tally | None:
    responses = unreadable = 0
    tops: list[float | None] = []
    for step in steps:
        try:
            rows: list[dict[str, Any]] = read_groups(run.layout.groups(stage, step), ["role", "answers", "majority"])
        except RunFolderError as error:
            run.problems.append(str(error))
            continue
        rows = [row for row in rows if row["role"] == "answer"]
        answers = [answer for row in rows for answer in row["answers"]]
        responses += len(answers)
        unreadable += answers.count(None)
        voted = Counter(row["majority"] for row in rows if row["majority"] is not None)
        tops.append(max(voted.values()) / voted.total() if voted.total() >= 8 else None)
    return Tally(responses, unreadable, tops[0], tops[-1]) if responses else None


def _planned(run: RunData) -> list[dict[str, Any]]:
    stages = run.recipe.get("stages", [])
    return [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []


def _unfinished(run: RunData) -> list[str]:
    """Only what can be told from the files: steps that are short of the recipe's, and measurements that are absent."""
    found = []
    measured = {str(row.get("name")) for row in run.results}
    evaluation = run.recipe.get("evaluation")
    settings = evaluation if isinstance(evaluation, Mapping) else {}
    every_stage = bool(settings.get("every_stage"))
    names = settings.get("benchmarks")
    sets = [f".{str(name).partition('=')[0]}" for name in names] if isinstance(names, list) else []
    sets += [""] if "data" in settings else []
    done = {stage.name: stage for stage in run.stages}
    for plan in _planned(run):
        name, kind, steps = str(plan.get("name")), plan.get("kind"), plan.get("steps")
        if kind in _TRAINING and name not in done:
            found.append(f"{name}: not begun")
        elif kind in _TRAINING and isinstance(steps, int) and len(done[name].records) < steps and not _ended(run, name):
            found.append(f"{name}: {len(done[name].records)} of {steps} steps")
        elif kind == "eval" or (every_stage and kind in _TRAINING):
            found += [f"{name}{of}: not measured" for of in sets if f"{name}{of}" not in measured]
    return found


def _ended(run: RunData, stage: str) -> bool:
    """Whether a stage has handed its model on, as one does that its guard or `select.max_visits` has ended early."""
    from mmupt.runtime.checkpoints import load_state  # needs torch, which most who read a run do without

    try:
        if any(load_state(folder).get("finished") for folder in run.layout.checkpoints(stage).glob("step-*[0-9]")):
            return True
    except (ValueError, TypeError, OSError):
        pass  # a name that no stage can have, or a checkpoint that is not whole
    guard = next((found.guard for found in run.stages if found.name == stage), None) or {}
    return bool(guard.get("shut")) or number(guard.get("stopped_at")) is not None


def _json(run: RunData, path: Path, without: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        run.problems.append(f"{path.name} is missing: {without}")
    except (ValueError, OSError) as error:
        run.problems.append(f"{path.name} cannot be read ({error}): {without}")
    else:
        if isinstance(value, dict):
            return value
        run.problems.append(f"{path.name} holds no JSON object: {without}")
    return {}
