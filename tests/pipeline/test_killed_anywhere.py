"""Twenty SIGKILLs, known to fall into a rollout, an update, a checkpoint that is written, one that is finished in the
background, and a measurement; behind each the run goes on, and its end is that of the run left alone."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.interrupted import started

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]

MOMENTS = {
    "rollout": [("mmupt.engines.hf", "HFEngine.generate"), ("mmupt.train.grpo", "checked")],
    "update": [("mmupt.train.policy", "Policy.logprobs"), ("torch.optim", "AdamW.step")],
    "checkpoint": [
        ("mmupt.train.context", "save_model"),
        ("mmupt.runtime.checkpoints", "_seal"),
        ("mmupt.runtime.checkpoints", "_fingerprint"),
        ("mmupt.runtime.checkpoints", "put_in_place"),
        ("mmupt.runtime.checkpoints", "sync"),
    ],
    "evaluation": [("mmupt.evals.answering", "_answer"), ("mmupt.evals.answering", "_write_part")],
}
KILLS = int(os.environ.get("MMUPT_TEST_KILLS", "20"))


@pytest.mark.slow  # two minutes on two cores
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("background", [False, True])
def test_twenty_kills_leave_no_trace(micro: Micro, tmp_path: Path, background: bool) -> None:
    def edit(table: dict[str, Any]) -> None:
        (upt,) = (s for s in table["stages"] if s["kind"] == "upt")
        table["stages"] = [
            {**upt, "checkpoint_every": 1, "steps": 12, "checkpoints": {"background": background}},
            {"kind": "eval", "name": "after"},
        ]
        table["evaluation"]["prompts_at_once"] = 2

    recipe, calm, killed = micro(edit), tmp_path / "calm", tmp_path / "killed"
    run_recipe(load_recipe(str(recipe), [f"run_dir={str(calm)!r}"]))
    rng = random.Random(0)
    first = ["rollout", "update", "checkpoint"] * ((KILLS - KILLS // 4 + 2) // 3)
    order = [*first[: KILLS - KILLS // 4], *["evaluation"] * (KILLS // 4)]
    fell: list[str] = []
    for part in order:
        module, name = rng.choice(MOMENTS[part])
        call = rng.randint(1, 3) if part in ("rollout", "update") else rng.randint(1, 2)
        arguments = ["run", str(recipe), "--set", f"run_dir={killed}", *(["--resume"] if fell else [])]
        code, said = started(arguments, module, name, call, "kill")
        if code == -signal.SIGKILL:
            fell.append(part)
        else:
            assert code == 0, said
    print(f"{len(fell)} kills: { ({part: fell.count(part) for part in MOMENTS}) }")
    assert len(fell) >= KILLS * 3 // 4, fell
    run_recipe(load_recipe(str(recipe), [f"run_dir={str(killed)!r}"]), resume=True)
    ends = [RunLayout(run) for run in (calm, killed)]
    weights = [run.checkpoint("upt", 12) / "model.safetensors" for run in ends]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert ends[0].eval_parquet("after").read_bytes() == ends[1].eval_parquet("after").read_bytes()
    assert [m["step"] for m in read_metrics(ends[1].metrics)] == list(range(1, 13))
