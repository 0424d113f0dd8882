"""Verdicts on disk, one JSON object a line: nothing is judged twice, not after a kill and not for the same text."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmupt.errors import RunFolderError
from mmupt.evals.judge.protocol import Verdict
from mmupt.runtime.files import to_json, writing


def cache_key(model: str, prompt: str) -> str:
    """Names a verdict by what decides it: the judge, and the whole prompt (template, question, choices, gold answer and
    what is sent of the response)."""
    digest = hashlib.blake2b(digest_size=16, person=b"mmupt.judge")
    for part in (model, prompt):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class VerdictCache:
    """The verdicts in the file `path`; use it in a `with` block. Only one process may write to it.

    A line that a kill left without its end is removed. An undecided verdict counts for the `max_tokens` it was given
    only: with more, the judge may come to an end. Raises RunFolderError, with the line, where the file is damaged.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._verdicts: dict[str, Verdict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab", buffering=0)
        try:
            self._read(path)
        except BaseException:
            self._file.close()
            raise

    def get(self, key: str) -> Verdict | None:
        return self._verdicts.get(key)

    def add(self, key: str, model: str, verdict: Verdict) -> None:
        """Remembers a verdict; it is with the system when this returns. Raises
        RunFolderError where the disk refuses."""
        entry = {"key": key, "judge": model, "max_tokens": self._max_tokens, "correct": verdict.correct}
        rest = to_json({**entry, "text": verdict.text}).encode("ascii") + b"\n"
        with writing(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._verdicts[key] = verdict

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file.fileno(), whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                entry: dict[str, Any] = json.loads(line)
                key, correct, text, max_tokens = (entry[name] for name in ("key", "correct", "text", "max_tokens"))
            except (ValueError, TypeError, KeyError) as error:
                raise RunFolderError(
                    f"{path}, line {number}: not a verdict ({error}); remove the line and it is judged again"
                ) from error
            if correct is not None or max_tokens == self._max_tokens:
                self._verdicts[key] = Verdict(correct, text)
