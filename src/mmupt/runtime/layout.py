"""Where everything lies in a run folder:

    recipe.toml                             the recipe as resolved
    run.json                                versions, seed, platform, when it was created
    metrics.jsonl                           one object a step
    groups/<stage>/<step:06d>.parquet       prompts, responses, answers, votes, rewards, advantages
    checkpoints/<stage>/step-<step:06d>/    whole and verified, or not there
    guard/<stage>.json                      what the guard of a stage saw, when, and what it did
    evals/<name>.json, evals/<name>.parquet figures and every answer of a measurement; <name> is STAGE or STAGE.SET
    evals/<name>.parts/<row:06d>.parquet    answers so far of a measurement that is not finished
    evals/<name>.judge.jsonl                what a judge said, one object an answer
    data/<stage>/                           rows that a stage has written: train.jsonl, images/, report.json, ...
    summary.json, report.html
    lock                                    who writes here

Reading needs no lock, and nothing here writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class RunLayout:
    """The paths of the run folder `root`, whether or not they exist.

    >>> RunLayout(Path("runs/first")).groups("upt", 12).as_posix()
    'runs/first/groups/upt/000012.parquet'
    """

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def run(self) -> Path:
        return self.root / "run.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def groups(self, stage: str, step: int) -> Path:
        """The Parquet file of the groups of one step."""
        return self.root / "groups" / _checked(stage) / f"{step:06d}.parquet"

    def group_steps(self, stage: str) -> list[int]:
        """The steps of `stage` whose groups were kept, in order."""
        files = (self.root / "groups" / _checked(stage)).glob("*.parquet")
        return sorted(int(file.stem) for file in files if file.stem.isdecimal())

    def checkpoints(self, stage: str) -> Path:
        """The folder that holds the checkpoints of a stage."""
        return self.root / "checkpoints" / _checked(stage)

    def checkpoint(self, stage: str, step: int) -> Path:
        return self.checkpoints(stage) / f"step-{step:06d}"

    def guard(self, stage: str) -> Path:
        """The story of the guard of a stage."""
        return self.root / "guard" / f"{_checked(stage)}.json"

    def data(self, stage: str) -> Path:
        """The folder of the data set that a stage has written."""
        return self.root / "data" / _checked(stage)

    def eval_json(self, name: str) -> Path:
        return self.root / "evals" / f"{_checked(name)}.json"

    def eval_parquet(self, name: str) -> Path:
        return self.root / "evals" / f"{_checked(name)}.parquet"

    def eval_parts(self, name: str) -> Path:
        """The folder of what an unfinished measurement has so far."""
        return self.root / "evals" / f"{_checked(name)}.parts"

    def eval_judge(self, name: str) -> Path:
        return self.root / "evals" / f"{_checked(name)}.judge.jsonl"


def _checked(name: str) -> str:
    """Names of stages are checked when the recipe is read; here only that no name leads out of the folder."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of a run folder")
    return name
