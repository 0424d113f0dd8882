"""The GPU comparison on a CPU, with a tiny model: every part of it but what needs CUDA."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_step.py"
WITH_TRL = all(importlib.util.find_spec(name) for name in ("trl", "datasets"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env=quiet)


@pytest.mark.slow
def test_the_whole_road(tmp_path: Path) -> None:
    out = tmp_path / "gpu_step.json"
    done = run("--tiny", "--bf16-weights", "--repeats", "2", "--json", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    assert report["versions"]["torch"] and report["date"] and report["matmul_ceiling"] > 0

    ours = [row for row in report["updates"] if row["side"] == "ours"]
    settings = {(w, g, 8, c) for w in ("float32", "bfloat16") for g in (2, 3) for c in (True, False)}
    assert {(r["weights"], r["group"], r["completion"], r["checkpointing"]) for r in ours} == settings
    for row in ours:
        assert row["measured"]["error"] is None
        assert len(row["measured"]["samples"]) == 2 and row["mfu"] > 0

    largest = {(found["side"], found["weights"]): found["fits"] for found in report["largest"]}
    assert largest["ours", "float32"] == largest["ours", "bfloat16"] == 4

    assert set(report["backends"]["winners"]) == {"2x8", "3x8"}
    assert {row["kind"]: row["right"] for row in report["backends"]["rows"] if row["errors"]} == {
        "split": True,
        "dense": True,
    }
    assert all(error["max"] < 1e-4 for error in report["backends"]["logprobs"].values())

    if WITH_TRL:
        assert "trl_errors" not in report
        differences = report["gradient_difference"]
        assert len(differences["float32"]) == 3
        assert max(differences["float32"].values()) < 1e-4
        assert max(differences["bfloat16"].values()) < 0.1
        assert len(report["verdict"]) == 2 * 2 * 3
        assert all(math.isfinite(line["speed"]) for line in report["verdict"])


def test_without_a_gpu_it_says_what_to_do() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "torch sees no CUDA device here; --tiny runs the same road on a CPU"
    )
