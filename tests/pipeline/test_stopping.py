"""SIGTERM: the step is brought to its end, a checkpoint is written, and the run that goes on is the run left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.runtime.stopping import EXIT_CODE

Micro = Callable[..., Path]

# A `mmupt` that is sent SIGTERM inside a function: MODULE NAME CALL, "twice" or "once", and the command's arguments.
AT = """
import importlib, os, signal, sys
module, name, number, times, *arguments = sys.argv[1:]
*owner, name = name.split(".")
place = importlib.import_module(module)
for part in owner:
    place = getattr(place, part)
whole, calls = getattr(place, name), []
def interrupted(*given, **named):
    calls.append(1)
    if len(calls) == int(number):
        for _ in range(2 if times == "twice" else 1):
            os.kill(os.getpid(), signal.SIGTERM)
    return whole(*given, **named)
setattr(place, name, interrupted)
import mmupt.cli
sys.argv = ["mmupt", *arguments]
mmupt.cli.main()
"""


def started(arguments: list[str], *at: str) -> tuple[int, str]:
    """The exit code of a `mmupt` that is stopped at `at`, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", AT, *at, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        timeout=200,
    )
    return done.returncode, done.stdout


@pytest.fixture
def steps(micro: Micro) -> Path:
    """One stage of label-free training, with a checkpoint that is never due by itself, and a measurement behind it."""

    def edit(table: dict[str, Any]) -> None:
        table["stages"] = [s | {"checkpoint_every": 99} for s in table["stages"] if s["kind"] == "upt"] + [
            {"kind": "eval", "name": "after"}
        ]

    return micro(edit)


def test_a_stopped_run_goes_on_as_the_run_left_alone(steps: Path, tmp_path: Path) -> None:
    """While rollouts are sampled, inside an update, in the last step of the stage, in a measurement."""
    calm = tmp_path / "calm"
    run_recipe(load_recipe(str(steps), [f"run_dir={str(calm)!r}"]))
    upt = (RunLayout(calm).checkpoint("upt", 6) / "model.safetensors").read_bytes()
    answers = RunLayout(calm).eval_parquet("after").read_bytes()

    run = tmp_path / "run"
    arguments = ["run", str(steps), "--set", f"run_dir={run}"]
    moments = [
        ("mmupt.engines.hf", "HFEngine.generate", "2", [2]),  # the guard asks its watch set first, if it has one
        ("mmupt.train.grpo", "update_policy", "2", [4]),
        ("mmupt.train.grpo", "update_policy", "2", [6]),
        ("mmupt.evals.answering", "_answer", "1", [6]),
    ]
    for module, name, call, left in moments:
        code, said = started([*arguments, *(["--resume"] if run.exists() else [])], module, name, call, "once")
        assert code == EXIT_CODE == 143, said
        assert f"stopped by SIGTERM; continue with: mmupt run {steps} --set run_dir={run} --resume" in said
        assert "Traceback" not in said
        kept = sorted(folder.name for folder in RunLayout(run).checkpoints("upt").iterdir())
        assert kept[-1] == f"step-{left[0]:06d}", (kept, said)
    run_recipe(load_recipe(str(steps), [f"run_dir={str(run)!r}"]), resume=True)
    assert (RunLayout(run).checkpoint("upt", 6) / "model.safetensors").read_bytes() == upt
    assert RunLayout(run).eval_parquet("after").read_bytes() == answers
    assert [m["step"] for m in read_metrics(run / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_a_second_one_ends_at_once(steps: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _ = started(["run", str(steps), "--set", f"run_dir={run}"], "mmupt.train.grpo", "update_policy", "2", "twice")
    assert code == -signal.SIGTERM
    assert not RunLayout(run).checkpoints("upt").exists()


def test_before_there_is_a_run_nothing_is_to_continue(steps: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, said = started(["run", str(steps), "--set", f"run_dir={run}"], "mmupt.pipeline", "preflight", "1", "once")
    assert code == EXIT_CODE and "nothing was written yet, start again with" in said
    assert not run.exists()
