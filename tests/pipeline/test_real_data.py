"""The main job on real pictures and questions: the shipped recipe `tiny-real`, word for word."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmupt.cli import main
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout


@pytest.mark.parametrize("name", ["tabmwp", "puzzlevqa"])
def test_tiny_real(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file = shared_data / name / "test.jsonl"
    run = tmp_path / "run"
    arguments = ["run", "tiny-real", "--set", f"data.path={file}", "--set", f"run_dir={run}"]
    monkeypatch.setattr(sys, "argv", ["mmupt", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0

    layout = RunLayout(run)
    metrics = [json.loads(line) for line in layout.metrics.read_text().splitlines()]
    assert [m["step"] for m in metrics] == [1, 2, 3]
    groups = [g for step in (1, 2, 3) for g in read_groups(layout.groups("upt", step))]
    assert len({g["prompt_id"] for g in groups}) == 12, "twelve different questions"
    assert all(len(g["responses"]) == len(g["rewards"]) == 4 for g in groups)  # type: ignore[arg-type]
    known = {json.loads(line)["question"] for line in file.read_text().split("\n") if line}
    assert {str(g["question"]).removeprefix("<image>") for g in groups} <= known
    assert "almost no answer could be read" in layout.report.read_text()
