"""What a run folder has measured at one stage, question by question, as `mmupt compare` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmupt.errors import DataError, RunFolderError
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.parquet import read_table

_COLUMNS = ("id", "set", "gold", "greedy_correct", "correct", "majority_correct", "greedy_judged", "judged")


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """The verdicts on one question: `correct` and `judged` have one entry a sample. None or empty where none was asked
    for."""

    gold: str
    greedy_correct: bool | None
    correct: tuple[bool, ...]
    majority_correct: float | None
    greedy_judged: bool | None
    judged: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One stage of a run: its questions by set and id."""

    run: str
    stage: str
    sets: Mapping[str, Mapping[str, QuestionRecord]]

    @property
    def label(self) -> str:
        """How messages and tables name it."""
        return f"{self.run}, stage {self.stage}"


def load_measured(which: str) -> Measured:
    """Reads `RUN_FOLDER` or `RUN_FOLDER:STAGE`; without a stage it is the one measured last.

    Raises RunFolderError where there is no such run or stage, or a file is damaged or of another version, and DataError
    where a set has the same id twice.
    """
    folder, stage = _split(which)
    entries = _measurements(folder)
    if stage is None:
        stage = _last_stage(folder, entries)
    names = [name for name, of_stage in entries.items() if of_stage == stage]
    if not names:
        known = ", ".join(dict.fromkeys(entries.values()))
        raise RunFolderError(f"{folder}: stage {stage!r} was not measured; measured are: {known}")
    sets: dict[str, dict[str, QuestionRecord]] = {}
    for name in names:
        path = RunLayout(folder).eval_parquet(name)
        for row in read_table(path, _COLUMNS, missing="is missing beside its .json; measure again"):
            questions = sets.setdefault(row["set"], {})
            if row["id"] in questions:
                raise DataError(f"{path}: question {row['id']!r} of {row['set']} is there twice; give each its own id")
            questions[row["id"]] = _record(row)
    return Measured(str(folder), stage, sets)


def _split(which: str) -> tuple[Path, str | None]:
    """Folder and stage. A folder whose own name holds a colon goes before a stage."""
    if Path(which).is_dir():
        return Path(which), None
    folder, colon, stage = which.rpartition(":")
    if not colon or not Path(folder).is_dir():
        raise RunFolderError(f"{folder if colon else which}: there is no such run folder (write RUN or RUN:STAGE)")
    return Path(folder), stage


def _measurements(folder: Path) -> dict[str, str]:
    """Names of the measurements of a run, with their stages."""
    paths = sorted((folder / "evals").glob("*.json"))
    if not paths:
        raise RunFolderError(f"{folder}: holds no measurement (evals/*.json); run an evaluation there first")
    return {path.stem: str(_value(path, _object(path), "stage")) for path in paths}


def _last_stage(folder: Path, entries: Mapping[str, str]) -> str:
    """The stage of the last entry of `summary.json`, which lists measurements as they were made."""
    path = RunLayout(folder).summary
    if not path.is_file():
        raise RunFolderError(f"{path}: is missing, so which stage came last is unknown; name it: {folder}:STAGE")
    results = _value(path, _object(path), "stages")
    names = [str(row.get("name")) for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    measured = [name for name in names if name in entries]
    if not measured:
        raise RunFolderError(f"{path}: lists none of the measurements in evals/; name the stage: {folder}:STAGE")
    return entries[measured[-1]]


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: not readable JSON ({error}); it is damaged") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}: not a JSON object; it is damaged")
    return value


def _value(path: Path, entry: dict[str, Any], key: str) -> object:
    if key not in entry:
        raise RunFolderError(f"{path}: has no key {key!r}; another version of mmupt wrote it, measure again")
    return entry[key]


def _record(row: dict[str, Any]) -> QuestionRecord:
    return QuestionRecord(
        gold=row["gold"],
        greedy_correct=row["greedy_correct"],
        correct=tuple(row["correct"] or ()),
        majority_correct=row["majority_correct"],
        greedy_judged=row["greedy_judged"],
        judged=tuple(row["judged"] or ()),
    )
