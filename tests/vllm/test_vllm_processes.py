"""vLLM inside torchrun's processes: one in each, or one that neighbours share, samples what one process samples."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from safetensors.torch import load_file

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

pytestmark = [
    pytest.mark.skipif(
        find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
    ),
    pytest.mark.timeout(900),
]
ROLLOUT = {"engine": "vllm", "group_size": 4, "temperature": 0.8, "top_p": 0.9, "max_new_tokens": 16}
MADE = {"kind": "targets", "name": "own", "keep": "data", "describe": True, "data": {"path": "world:sft", "limit": 2}}
UPT = {
    "kind": "upt",
    "name": "upt",
    "steps": 2,
    "prompts_per_step": 3,
    "updates_per_step": 2,
    "data": {"path": "world:unlabeled"},
    "reward": {"name": "random"},  # an untrained model's votes are empty
    "optimizer": {"lr": 1e-3, "eps": 1e-6},
}
Run = Callable[..., RunLayout]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of so many processes: rows that a stage makes, one prompt at a time, so that of several engines some have
    nothing to do; then, with room for shorter responses, which is another vLLM, two steps of two updates."""
    root = tmp_path_factory.mktemp("runs")

    def _run(size: int, tensor_parallel: int = 1) -> RunLayout:
        folder = root / f"{size}-{tensor_parallel}"
        vllm = {"kv_cache_mib": 64, "tensor_parallel": tensor_parallel}
        made = {**MADE, "rollout": {**ROLLOUT, "vllm": vllm, "prompts_at_once": 1, "max_new_tokens": 20}}
        table: dict[str, Any] = {
            "name": "short",
            "run_dir": str(folder),
            "model": {"path": "world:tiny"},
            "world": {"sft_size": 16, "unlabeled_size": 16, "test_size": 8},
            "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136, "max_tokens": 128},
            "guard": {"enabled": False},
            "stages": [made, {**UPT, "rollout": {**ROLLOUT, "vllm": vllm}}],
        }
        recipe = folder.with_suffix(".toml")
        recipe.write_text(tomli_w.dumps(table), encoding="utf-8")
        if size == 1:
            return RunLayout(run_recipe(load_recipe(str(recipe))))
        torchrun = ["torch.distributed.run", "--nproc-per-node", str(size), "--rdzv-backend", "c10d"]
        done = subprocess.run(
            [sys.executable, "-m", *torchrun, "--rdzv-endpoint", "127.0.0.1:0", "-m", "mmupt.cli", "run", str(recipe)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return RunLayout(folder)

    return _run


@pytest.fixture(scope="module")
def alone(run: Run) -> RunLayout:
    return run(1)


@pytest.mark.parametrize(
    ("size", "tensor_parallel"), [(2, 1), pytest.param(4, 2, marks=pytest.mark.slow)], ids=["one each", "shared"]
)
def test_processes_sample_and_train_what_one_does(alone: RunLayout, run: Run, size: int, tensor_parallel: int) -> None:
    many = run(size, tensor_parallel)
    rows = [(one.made("own") / "train.jsonl").read_bytes() for one in (alone, many)]
    assert rows[0] == rows[1] and rows[0]
    for step in (1, 2):
        groups = [read_groups(one.groups("upt", step)) for one in (alone, many)]
        assert [g["responses"] for g in groups[0]] == [g["responses"] for g in groups[1]], step
    expected, found = ([m for m in read_metrics(one.metrics) if m.get("stage") == "upt"] for one in (alone, many))
    for one, other in zip(expected, found, strict=True):
        assert other["ranks"] == size
        assert float(str(other["mismatch_max"])) < 1e-4, "of the weights before the update, also of the second step"
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4, abs=1e-5)
    assert apart(alone, many) < 1e-5 < 1e-3 < apart(alone, None)


def apart(run: RunLayout, other: RunLayout | None) -> float:
    """The largest difference of any weight, from those of another run or from those that the run began with."""
    ours, theirs = (load_file(_trained(run)), load_file(_trained(other) if other is not None else _start(run)))
    return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)


def _trained(run: RunLayout) -> Path:
    folder = latest_checkpoint(run.checkpoints("upt"))
    assert folder is not None
    return folder / "model.safetensors"


def _start(run: RunLayout) -> Path:
    return run.root / "start" / "model.safetensors"
