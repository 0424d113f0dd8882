"""The run as Markdown: complete, and text whatever the run's names hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmupt.errors import RunFolderError
from mmupt.report.markdown import markdown_report
from mmupt.runtime.files import write_json


def test_a_whole_run(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice")
    write_json(run.guard("upt"), {"watched": 64, "anchors": 7, "events": [], "measurements": [{"step": 10}]})
    text = markdown_report(run.root)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## Results", "## Training", "## Guard", "## Cost", "## Versions"
    ]  # fmt: skip
    for expected in (
        "| upt | 77.0 (72.2–81.8) | 70.0 (64.8–75.2) | 79.0 (74.4–83.6) | 91.0 (87.8–94.2) | 1.0 % | 300 |",
        "| upt | label-free post-training (GRPO on the model's own votes) | steps 60, new tokens at most 64 |",
        "- **upt**: it saw nothing out of bounds in 60 steps. 64 questions were kept out",
        "12 min 32 s of wall time.",
        "| upt | 60 | 1 min 54 s | 0 |",
        "mmupt 0",
    ):
        assert expected in text, expected
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_what_is_missing_is_said(tmp_path: Path, fake: SimpleNamespace) -> None:
    text = markdown_report(fake.make_run(tmp_path / "dice", upt_steps=12).root)
    assert "**The run is not finished**" in text and "upt: 12 of 60 steps" in text
    (tmp_path / "empty").mkdir()
    text = markdown_report(tmp_path / "empty")
    assert "Nothing has been measured." in text and "summary.json is missing" in text
    with pytest.raises(RunFolderError, match="no run folder"):
        markdown_report(tmp_path / "missing")


@pytest.mark.parametrize("attack", ["<script>x</script>", "a | b\n\n# head", "[x](javascript:y)", "`a` **b** ![i](j)"])
def test_names_are_text(tmp_path: Path, fake: SimpleNamespace, attack: str) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    summary = json.loads(run.summary.read_text())
    summary["stages"][0]["name"] = attack
    write_json(run.summary, summary)
    write_json(run.run, {"seed": attack, "versions": {attack: attack}})
    event = {"step": 1, "action": "warn", "text": attack}
    write_json(run.guard("upt"), {"events": [event]})
    text = markdown_report(run.root)
    for sign in ("<script", "[x", "![i", "**b", "| b"):
        assert not re.search(rf"(?<!\\){re.escape(sign)}", text), sign
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 6
