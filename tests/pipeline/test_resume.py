"""Kill it any time: SIGKILL at a random moment, resume, and the weights are those of a run that was left alone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]


def mmupt(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mmupt.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": "", "HF_HUB_OFFLINE": "1"},
    )


def weights(run: Path) -> dict[str, bytes]:
    found = {}
    for stage in ("sft", "rl", "upt"):
        checkpoint = latest_checkpoint(RunLayout(run).checkpoints(stage))
        assert checkpoint is not None
        found[stage] = (checkpoint / "model.safetensors").read_bytes()
    return found


def kill_after_lines(run: Path, recipe: Path, lines: int, delay: float, *flags: str) -> None:
    """Start the run and SIGKILL it `delay` seconds after its metrics have `lines` lines (or let it end before that)."""
    process = mmupt("run", str(recipe), "--set", f"run_dir={run}", *flags)
    metrics = RunLayout(run).metrics
    while process.poll() is None:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= lines:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[str, bytes]]:
    """Filled by the first test that needs it: the run is the same for all."""
    return {}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_killed_and_resumed_is_undisturbed(
    micro: Micro, tmp_path: Path, seed: int, undisturbed: dict[str, dict[str, bytes]]
) -> None:
    recipe = micro()
    if not undisturbed:
        process = mmupt("run", str(recipe), "--set", f"run_dir={tmp_path / 'calm'}")
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        undisturbed["weights"] = weights(tmp_path / "calm")
        undisturbed["rows"] = {
            str(m["stage"]) + str(m["step"]): b"" for m in read_metrics(tmp_path / "calm/metrics.jsonl")
        }

    rng = random.Random(seed)
    run = tmp_path / "killed"
    first, second = sorted(rng.sample(range(1, 21), 2))
    kill_after_lines(run, recipe, first, rng.random() * 0.2)
    kill_after_lines(run, recipe, second, rng.random() * 0.2, "--resume")
    process = mmupt("run", str(recipe), "--set", f"run_dir={run}", "--resume")
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert weights(run) == undisturbed["weights"]
    steps = [str(m["stage"]) + str(m["step"]) for m in read_metrics(run / "metrics.jsonl")]
    assert steps == list(undisturbed["rows"]), "every step is logged once, in order"


def test_resuming_with_another_recipe_is_refused(micro: Micro, tmp_path: Path) -> None:
    def only_sft(table: dict[str, Any]) -> None:
        table["stages"] = [s for s in table["stages"] if s["kind"] == "sft"]
        del table["rollout"]

    recipe = micro(only_sft)
    run = tmp_path / "run"
    kill_after_lines(run, recipe, 3, 0.0)
    process = mmupt("run", str(recipe), "--resume", "--set", "stages.sft.optimizer.lr=0.5")
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "stages[0].optimizer.lr: 0.001 -> 0.5" in output
