"""A run on a Ray cluster: a worker is killed, and the run ends as if nothing had happened."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from mmupt.runtime.layout import RunLayout

STEPS = 12
RECIPE: dict[str, Any] = {
    "name": "ray",
    "seed": 7,
    "world": {"unlabeled_size": 24, "sft_size": 12, "test_size": 5},
    "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136},
    "stages": [
        {
            "kind": "upt",
            "name": "upt",
            "steps": STEPS,
            "prompts_per_step": 5,
            "updates_per_step": 2,
            "checkpoint_every": 2,
            "data": {"path": "world:unlabeled"},
            "rollout": {"group_size": 3, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6},
            "reward": {"name": "random"},
            "algo": {"kl_coef": 0.0},
            "guard": {"enabled": False},
            "optimizer": {"lr": 3e-4},
        }
    ],
}
ON_RAY = ("--ray", "local", "--workers", "2")

pytestmark = [
    pytest.mark.slow,  # 30 to 60 seconds a run: a cluster begins and ends each time
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install mmupt[ray]"),
]


@pytest.fixture
def start(tmp_path: Path, tiny_folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `mmupt run` in a folder of its own, so that the run folder has the same name in all of them."""
    (tmp_path / "ray.toml").write_text(tomli_w.dumps({**RECIPE, "model": {"path": str(tiny_folder)}}))
    started = []

    def _start(folder: Path, *options: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, *before, "-m", "mmupt.cli", "run", "../ray.toml", "--set", "run_dir=out", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield _start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def until(happened: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """What `happened` returns once it is true; the test fails where the run ends before."""
    while not (found := happened()):
        assert process.poll() is None, f"the run ended too early:\n{process.communicate()}"
        time.sleep(0.02)
    return found


def workers(folder: Path) -> set[int]:
    """The workers of Ray Train whose working directory is `folder`."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(folder) and b"RayTrainWorker" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def holder(run: RunLayout) -> int:
    """The process that holds the run folder, which is rank 0; 0 where nobody does."""
    lock = run.root / "lock"
    words = lock.read_text().split() if lock.exists() else []
    return int(words[0]) if words else 0


def final(run: RunLayout) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint("upt", STEPS) / "model.safetensors")


def steps(run: RunLayout) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def test_killed_workers_leave_no_trace(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Minutes on a busy machine. Rank 1 is killed after the first checkpoint, rank 0 of the next group later."""
    reference = RunLayout(tmp_path / "torchrun" / "out")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    code, _, err = ended(start(tmp_path / "torchrun", before=torchrun))
    assert code == 0, err

    folder = tmp_path / "killed"
    run = RunLayout(folder / "out")
    process = start(folder, *ON_RAY)
    until(lambda: run.checkpoint("upt", 2).exists(), process)
    first = holder(run)
    (other,) = workers(folder) - {first}
    os.kill(other, signal.SIGKILL)
    second = until(lambda: (held := holder(run)) not in (0, first) and held, process)
    until(lambda: run.checkpoint("upt", 8).exists(), process)
    assert holder(run) == second
    os.kill(second, signal.SIGKILL)
    code, out, err = ended(process)

    assert code == 0, err
    assert out.count("a worker was lost") == 2 and "run folder: out" in out
    assert out.count("on from step") == 2 and "Traceback" not in out + err
    assert steps(run) == steps(reference) and [step for step, _ in steps(run)] == list(range(1, STEPS + 1))
    expected = final(reference)
    assert all(torch.equal(weight, expected[name]) for name, weight in final(run).items())
    assert not workers(folder) and sorted(path.name for path in folder.iterdir()) == ["out"]
