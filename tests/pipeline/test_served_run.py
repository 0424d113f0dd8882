"""A run whose rollouts come from `mmupt serve`, a process of its own, is the run whose rollouts are its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.errors import ConfigError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.serving import served_rollouts

STEPS = 2


def recipe(folder: Path, **rollout: Any) -> Path:
    """An untrained model's votes are empty: the reward is drawn by lot, so that the weights move."""
    folder.mkdir(exist_ok=True)
    stage = {
        "kind": "upt",
        "name": "upt",
        "steps": STEPS,
        "prompts_per_step": 4,
        "updates_per_step": 2,
        "data": {"path": "world:unlabeled"},
        "reward": {"name": "random"},
        "optimizer": {"lr": 1e-3},
    }
    table = {
        "name": "short",
        "run_dir": str(folder / "run"),
        "model": {"path": "world:tiny"},
        "world": {"sft_size": 16, "rl_size": 16, "unlabeled_size": 16, "test_size": 8},
        "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136, "max_tokens": 128},
        "rollout": {"group_size": 4, "temperature": 0.8, "top_p": 0.9, "max_new_tokens": 16, **rollout},
        "guard": {"enabled": False},
        "stages": [stage],
    }
    path = folder / "short.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@contextmanager
def serving(path: Path, *arguments: str) -> Iterator[str]:
    """`mmupt serve` on a port that is free; yields its address."""
    command = [sys.executable, "-m", "mmupt.cli", "serve", str(path), "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("serving world:tiny with the hf engine at http://127.0.0.1:"), line
            yield line.split()[-1]
        finally:
            process.terminate()
    assert process.returncode == 0, "a server that is stopped ends well"


def test_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUPT_SERVER_TOKEN", "a-secret-of-tests")
    served = {"engine": "server", "servers": ["http://127.0.0.1:1"], "server": {"engine": "hf", "pause": 0.01}}
    there = recipe(tmp_path / "server", **served)
    with serving(there) as url:
        run = RunLayout(run_recipe(load_recipe(str(there), [f'rollout.servers=["{url}"]'])))
    own = RunLayout(run_recipe(load_recipe(str(recipe(tmp_path / "own")))))
    for step in range(1, STEPS + 1):
        assert read_groups(run.groups("upt", step)) == read_groups(own.groups("upt", step))
    for metrics in read_metrics(run.metrics):
        # Over all tokens of the step, against the policy before its two updates: anything stale shows.
        assert float(str(metrics["mismatch_max"])) < 1e-4
        assert float(str(metrics["grad_norm"])) > 0 and float(str(metrics["seconds_sync"])) > 0


def test_which_stage_is_served(tmp_path: Path) -> None:
    path = str(recipe(tmp_path / "a"))
    with pytest.raises(ConfigError, match="no stage of short samples from servers"):
        served_rollouts(load_recipe(path), None)
    asked = ['rollout.servers=["http://127.0.0.1:1"]', 'rollout.engine="server"', 'rollout.server.engine="hf"']
    assert served_rollouts(load_recipe(path, asked), None).server.engine == "hf"
    assert served_rollouts(load_recipe(path, asked), "upt").engine == "server"
    with pytest.raises(ConfigError, match='stage "sft" of short does not sample from servers'):
        served_rollouts(load_recipe(path, asked), "sft")
