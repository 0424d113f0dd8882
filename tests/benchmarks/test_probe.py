"""The probe's benchmark: what it reads, what it counts, and that a pair is judged by what has not seen it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mmupt.answers.vote import vote
from mmupt.guard.probe.evidence import evidence_of_vote
from mmupt.guard.probe.fitting import Pair
from mmupt.guard.probe.truth import Known

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "probe.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("probe_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pair(k: int) -> Pair:
    """The k-th of some pairs, the more agreement the more right, and the more gained."""
    rng = np.random.default_rng(k)
    evidence, known = [], []
    for i in range(60):
        agreeing = int(rng.integers(k, k + 5))
        answers = ["7"] * agreeing + [str(a) for a in rng.integers(1, 5, 16 - agreeing)]
        evidence.append(evidence_of_vote(f"p{i}", vote(answers), seed=0))
        right = float(rng.random() < evidence[-1].share)
        known.append(Known(right * evidence[-1].share, right))
    return Pair(f"pair {k}", evidence, known, gain=(k - 3) / 50)


def measured(stage: str, mean: float, n: int = 300) -> dict[str, Any]:
    return {"stage": stage, "set": "world:test", "n": n, "k": 8, "mean@8": mean}


def run_folder(folder: Path, *stages: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"stages": stages}))
    return folder


def test_the_gain_of_a_run(script: ModuleType, tmp_path: Path) -> None:
    start = run_folder(tmp_path / "start", measured("sft", 0.40))
    whole = run_folder(tmp_path / "whole", measured("base", 0.30), measured("upt", 0.55))
    only_after = run_folder(tmp_path / "after", measured("upt", 0.35))
    assert script._gain(whole, start) == pytest.approx(0.25)
    assert script._gain(only_after, start) == pytest.approx(-0.05)
    with pytest.raises(SystemExit, match=r"set evaluation.start = true"):
        script._gain(only_after, tmp_path)
    other = run_folder(tmp_path / "other", measured("sft", 0.40, n=100))
    with pytest.raises(SystemExit, match="not measured on the same questions"):
        script._gain(only_after, other)


def test_a_row_keeps_a_pair(script: ModuleType) -> None:
    kept = pair(4)
    assert script.from_row(kept.name, json.loads(json.dumps(script.to_row(kept)))) == kept


def test_the_table_is_judged_and_fitted(script: ModuleType, tmp_path: Path) -> None:
    pairs = [pair(k) for k in range(8)]
    (tmp_path / "table.json").write_text(json.dumps({p.name: script.to_row(p) for p in pairs}))
    (tmp_path / "pairs.json").write_text(json.dumps([{"name": p.name, "start": "x", "world": {}} for p in pairs]))
    command = [sys.executable, str(SCRIPT), str(tmp_path / "pairs.json"), "--table", str(tmp_path / "table.json")]
    told = subprocess.run([*command, "--fit", "--json"], capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    assert found["true"]["pair 5"]["gain"] == pytest.approx(0.04)
    held = found["held_out"]
    signs = [(e["gain"] > 0) == (p.gain > 0) for e, p in zip(held["each"], pairs, strict=True)]  # type: ignore[operator]
    assert (held["with_run"], held["sign_right"]) == (8, sum(signs)) and sum(signs) >= 6
    assert held["rank_correlation"] > 0.8
    assert found["calibration"]["closure"] >= 0 and found["calibration"]["source"].startswith("8 pairs")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "fitted without the pair's family" in shown and f"sign right {sum(signs)}" in shown
