"""Runs in one process and in several, small enough to be run whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from safetensors.torch import load_file
from torch import Tensor

from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout

TABLE: dict[str, Any] = {
    "name": "ranks",
    "seed": 7,
    "world": {"unlabeled_size": 24, "sft_size": 12, "test_size": 5},
    "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136},
}
UPT: dict[str, Any] = {
    "kind": "upt",
    "name": "upt",
    "steps": 5,
    "prompts_per_step": 5,
    "updates_per_step": 2,
    "checkpoint_every": 2,
    "data": {"path": "world:unlabeled"},
    "rollout": {"group_size": 3, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6},
    "reward": {"name": "random"},  # a fresh model gives no answer to vote on, and other rewards amplify float error
    "algo": {"kl_coef": 0.0},
    "guard": {"enabled": False},
    "optimizer": {"lr": 3e-4},
}


SHARDED = ("--set", "processes.layout=sharded")
REPLICA = ("--set", "processes.layout=replica")


@dataclass(frozen=True)
class Group:
    """Jobs of `size` processes, one after another."""

    size: int
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def run(self, recipe: Path, folder: Path, *flags: str, **fault: Any) -> Group:
        """In `folder` itself, so that the recipe of a copy of it is the same."""
        argv = ["run", str(recipe), "--set", "run_dir=.", *flags]
        return Group(self.size, [*self.jobs, {"argv": argv, "cwd": str(folder), **fault}])


@dataclass(frozen=True)
class Ended:
    """The exit code of each process of a group, and what all of them have said."""

    codes: list[int]
    said: str


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., list[Ended]]:
    def _work(*groups: Group) -> list[Ended]:
        logs = [tmp_path / f"group-{number}.log" for number in range(len(groups))]
        told = [{"size": g.size, "jobs": g.jobs, "log": str(log)} for g, log in zip(groups, logs, strict=True)]
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(told)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        assert done.returncode == 0, done.stderr
        codes = json.loads(done.stdout.splitlines()[-1])
        return [Ended(each, log.read_text()) for each, log in zip(codes, logs, strict=True)]

    return _work


@pytest.fixture
def recipe(tmp_path: Path, tiny_folder: Path) -> Callable[..., Path]:
    """Writes a recipe of the given stages; `more` are tables at its top."""

    def _recipe(name: str, *stages: dict[str, Any], **more: Any) -> Path:
        table = {**TABLE, **more, "stages": list(stages)}
        table["model"] = {"path": str(tiny_folder), **more.get("model", {})}
        path = tmp_path / f"{name}.toml"
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        return path

    return _recipe


def weights(run: Path, stage: str) -> dict[str, Tensor]:
    """What the stage has handed on, or its last checkpoint."""
    folder = latest_checkpoint(RunLayout(run).checkpoints(stage))
    assert folder is not None, f"{run} holds no checkpoint of {stage}"
    return load_file(folder / "model.safetensors")


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference of any weight."""
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)
