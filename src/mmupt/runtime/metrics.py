"""`metrics.jsonl`: one strict JSON object a line, appended as a run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmupt.errors import RunFolderError
from mmupt.runtime.files import replacing, to_json, writing

_TEXT = ("stage", "kind")
_NOT_FINITE = ("nan", "inf", "-inf")


class MetricsLog:
    """Appends records; each is on its way to the disk when `append` returns, so that a kill loses none of them.

    A kill in the middle of a write can leave a line without its end; opening the log removes it. NaN and infinities,
    which JSON lacks, are written as the strings "nan", "inf" and "-inf"; `read_metrics` gives numbers back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._opened()
        self._drop_torn_line()

    def append(self, record: Mapping[str, object]) -> None:
        """Writes one record, for instance {"stage": "upt", "kind": "upt", "step": 3, "reward": 0.61}. Raises
        RunFolderError where the disk refuses; what it has taken of the line is removed when the log is next opened."""
        rest = to_json(record).encode("ascii") + b"\n"
        with writing(self.path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def measured(self, result: Mapping[str, Any]) -> None:
        """A measurement (`Evaluation.summary`), new or taken over from before an interruption. The log does not keep
        it, as `evals/` does; whoever follows the log may want to know (`runtime/sinks/log.py`)."""

    def truncate_after(self, stage: str, step: int, stages: Sequence[str]) -> None:
        """Drops all that was logged behind step `step` of `stage`, atomically: the run goes on from a checkpoint there.

        `stages` names the recipe's stages in order. The log is cut at the first record of a later step or of a later
        stage. Raises ValueError where `stage` is not one of `stages`.
        """
        order = {name: index for index, name in enumerate(stages)}
        if stage not in order:
            raise ValueError(f"stage {stage!r} is not one of {list(stages)}")
        here = (order[stage], step)
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = len(lines)
        for index, record in enumerate(_parse(self.path, lines)):
            at = record.get("step", -1)
            if (order.get(str(record.get("stage")), -1), at if isinstance(at, int) else -1) > here:
                kept = index
                break
        if kept == len(lines):
            return
        self._file.close()
        with writing(self.path), replacing(self.path) as temporary:
            temporary.write_bytes(b"".join(lines[:kept]))
        self._file = self._opened()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> FileIO:
        """Without a buffer: one that could not be written would be written again when the log is closed."""
        with writing(self.path):
            return self.path.open("ab", buffering=0)

    def _drop_torn_line(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file.fileno(), whole)


def read_metrics(path: Path) -> list[dict[str, object]]:
    """All records in order; an unfinished last line is left out, a log that was never begun is empty.

    Raises RunFolderError, with the line, where the log is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return _parse(path, lines)


def _parse(path: Path, lines: Sequence[bytes]) -> list[dict[str, object]]:
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunFolderError(f"{path}, line {number}: not JSON ({error}); remove it to go on") from error
        if not isinstance(record, dict):
            raise RunFolderError(f"{path}, line {number}: not a JSON object; remove it to go on")
        for key, value in record.items():
            if key not in _TEXT and isinstance(value, str) and value in _NOT_FINITE:
                record[key] = float(value)
        records.append(record)
    return records
