"""What is kept of every run, in one small file: enough for every table, figure and paired comparison, so that no run is
made twice and run folders may go."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mmupt.errors import DataError
from mmupt.reproduce.runs import RUNS, Case
from mmupt.reproduce.written import Asked
from mmupt.runtime.files import to_json, write_json

Figure = Literal["mean", "greedy", "pass"]
"""Accuracy of one sampled answer, of the greedy answer, and the share of questions right in at least one sample."""

LARGEST_K = 35
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Scores:
    """One model on one set of questions, in the order of their ids: `greedy` has a 0 or 1 a question, `right` how many
    of its `k` samples are right, as a digit to base 36. `questions` is a hash of ids and gold answers: two models are
    compared where it is the same. `majority` is the accuracy of the vote of k, `unreadable` a share of all answers.

    >>> Scores("world:test", "h", 10, greedy="10", right="a3", majority=0.5, unreadable=0.0).by_question("mean")
    array([1. , 0.3])
    """

    set: str
    questions: str
    k: int
    greedy: str
    right: str
    majority: float
    unreadable: float

    def by_question(self, figure: Figure) -> NDArray[np.float64]:
        """f64[Q] in [0, 1]."""
        if figure == "greedy":
            return np.array([float(digit) for digit in self.greedy])
        counts_Q = np.array([int(digit, 36) for digit in self.right])
        return (counts_Q > 0).astype(np.float64) if figure == "pass" else counts_Q / self.k


def digit(count: int) -> str:
    """`count` (at most 35) as one digit to base 36."""
    return _DIGITS[count]


@dataclass(frozen=True, slots=True)
class Curves:
    """A training run from step to step: mean reward, mean semantic entropy (nats) and true accuracy of its groups, and
    `rank`, the effective rank of hidden states, at some steps (0 is the start)."""

    reward: tuple[float, ...]
    semantic_entropy: tuple[float, ...]
    accuracy: tuple[float, ...]
    rank: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has shown: `measured` by stage in their order, or why it has `failed`. `recipe` says which recipe it
    was, `guard` what its guard did, in a few words, `asked` what is known of the questions it has written, by stage."""

    recipe: str
    measured: Mapping[str, Scores]
    guard: str = ""
    seconds: float = 0.0
    versions: Mapping[str, str | None] | None = None
    curves: Curves | None = None
    asked: Mapping[str, Asked] = field(default_factory=dict)
    failed: str | None = None


_FILE = TypeAdapter(dict[str, Result])


@cache
def fingerprint(case: Case) -> str:
    """A hash of all that a case's recipe says (comments do not count), its changes and what it begins with."""
    file = resources.files("mmupt.recipes").joinpath(*f"{case.run.recipe}.toml".split("/"))
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    start = fingerprint(case.start) if case.start is not None else ""
    said = to_json([table, list(case.sets), case.run.pictures, case.run.curves, start])
    return hashlib.blake2b(said.encode("ascii"), digest_size=8).hexdigest()


class Kept:
    """The results in `file`. Those of a recipe that has changed since count as not there."""

    def __init__(self, file: Path, results: Mapping[str, Result]) -> None:
        self._file, self._results, self._lock = file, dict(results), Lock()

    @classmethod
    def read(cls, file: Path) -> Self:
        """Nothing where there is no file. Raises DataError where it is damaged."""
        if not file.exists():
            return cls(file, {})
        try:
            return cls(file, _FILE.validate_json(file.read_bytes()))
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"{file}: is not a file of results ({'.'.join(map(str, first['loc']))}: {first['msg']}); "
                "move it away, and what it held is made again"
            ) from None

    def result(self, case: Case) -> Result | None:
        """None where the case has not been made, or with another recipe."""
        found = self._results.get(case.key)
        return found if found is not None and found.recipe == fingerprint(case) else None

    def scores(self, which: str, seed: int) -> Scores | None:
        """Of the last stage of a run that was measured, or of the one that `RUN:STAGE` names."""
        name, _, stage = which.partition(":")
        result = self.result(Case(RUNS[name], seed))
        if result is None or not result.measured:
            return None
        return result.measured.get(stage) if stage else list(result.measured.values())[-1]

    def seeds(self, which: str) -> list[int]:
        """The seeds with which a run (or `RUN:STAGE`) was measured."""
        name = which.partition(":")[0]
        return [case.seed for case in self.cases() if case.run.name == name and self.scores(which, case.seed)]

    def cases(self) -> list[Case]:
        """All that have a result, failed ones too, in the order of `RUNS` and by seed."""
        there = [
            Case(run, int(seed))
            for seed, name in (key.removeprefix("seed-").split("/") for key in self._results)
            if (run := RUNS.get(name)) is not None
        ]
        order = list(RUNS)
        ordered = sorted(there, key=lambda case: (order.index(case.run.name), case.seed))
        return [case for case in ordered if self.result(case) is not None]

    def put(self, case: Case, result: Result) -> None:
        """Keeps a result, in the file too, beside what another process has put there; from any thread."""
        with self._lock:
            self._results = {**self._results, **type(self).read(self._file)._results, case.key: result}
            entries = _FILE.dump_python({key: self._results[key] for key in sorted(self._results)}, mode="json")
            write_json(self._file, entries)
