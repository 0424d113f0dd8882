"""A short UPT whose rollouts come from vLLM."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
STEPS = 3


def recipe(root: Path, engine: str, **changes: Any) -> Path:
    """An untrained model's votes are empty: the reward is drawn by lot, so that the weights move."""
    root.mkdir()
    table: dict[str, Any] = {
        "name": "short",
        "run_dir": str(root / "run"),
        "model": {"path": "world:tiny"},
        "world": {"sft_size": 16, "rl_size": 16, "unlabeled_size": 16, "test_size": 8},
        "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136, "max_tokens": 128},
        "rollout": {
            "engine": engine,
            "group_size": 4,
            "temperature": 0.8,
            "top_p": 0.9,
            "max_new_tokens": 16,
            "vllm": {"kv_cache_mib": 256},
        },
        "guard": {"enabled": False},
        "stages": [
            {
                "kind": "upt",
                "name": "upt",
                "steps": STEPS,
                "prompts_per_step": 4,
                "updates_per_step": 2,
                "data": {"path": "world:unlabeled"},
                "reward": {"name": "random"},
                "optimizer": {"lr": 1e-3},
            }
        ],
    }
    path = root / "short.toml"
    path.write_text(tomli_w.dumps({**table, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "lora"])
def test_every_step_samples_from_the_newest_weights(tmp_path: Path, lora: bool) -> None:
    model = {"path": "world:tiny", **({"lora": {"rank": 4}} if lora else {})}
    runs = {
        engine: RunLayout(run_recipe(load_recipe(str(recipe(tmp_path / engine, engine, model=model)))))
        for engine in ("vllm", "hf")
    }
    for metrics in read_metrics(runs["vllm"].metrics):
        # Over all tokens of the step, against the policy before its two updates: anything stale shows.
        assert float(str(metrics["mismatch_max"])) < 1e-4
        assert float(str(metrics["grad_norm"])) > 0
        assert float(str(metrics["seconds_sync"])) > 0
    theirs, ours = (read_groups(run.groups("upt", 1)) for run in runs.values())  # later, Adam makes much of float error
    assert [g["responses"] for g in theirs] == [g["responses"] for g in ours]
