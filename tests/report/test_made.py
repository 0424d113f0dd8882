"""What the report says of rows that stages have made, however damaged what they left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from mmupt.report.made import made_rows
from mmupt.report.reading import read_run
from mmupt.report.report import write_report
from mmupt.runtime.files import write_json
from mmupt.runtime.run_folder import RunFolder

SYNTH = {"written": 96, "kept": 12, "with_questions": 10, "subjects": 24, "dropped": {"too_short": 34, "trivial": 50}}
PAIRS = {"rows": 5, "prompts_used": 4, "prompts": 9, "responses": 18, "refused": {}, "left_out": {"<b>a tie</b>": 4}}


def run_with(path: Path, reports: dict[str, Any], **more: Any) -> Path:
    stages = [{"kind": name, "name": name} for name in ("synth", "targets", "pairs", "sft")]
    with RunFolder.create(path, tomli_w.dumps({"name": "made", "stages": stages, **more}), seed=0) as run:
        for name, report in reports.items():
            run.made(name).mkdir(parents=True)
            write_json(run.made(name) / "report.json", report)
    return path


def test_each_stage_that_has_finished_is_told(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", {"pairs": PAIRS, "synth": SYNTH})
    (run / "data" / "synth" / "page.html").touch()
    questions, pairs = made_rows(read_run(run))
    assert questions["said"] == (
        "12 of 96 written questions kept, about 10 of 24 pictures; left out: 50 trivial, 34 too short"
    )
    assert (questions["name"], questions["files"]) == ("synth", "data/synth/page.html")
    assert pairs["said"].startswith("5 rows from 4 of 9 prompts, 18 responses; left out: 4 ")
    html = write_report(run).read_text(encoding="utf-8")
    assert "Rows made" in html and "12 of 96 written questions kept" in html
    assert "<b>a tie" not in html and "&lt;b&gt;a tie" in html


def test_damage_is_a_problem_of_the_page(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", {"targets": ["no", "object"], "pairs": {"rows": "many"}})
    data = read_run(run)
    (pairs,) = made_rows(data)
    assert pairs["said"].startswith("? rows from ? of ? prompts")
    assert any("data/targets/report.json" in problem for problem in data.problems)


def test_a_run_without_such_stages_says_nothing(tmp_path: Path) -> None:
    assert made_rows(read_run(run_with(tmp_path / "run", {}))) == []
    assert "Rows made" not in write_report(tmp_path / "run").read_text(encoding="utf-8")


def test_nobody_waits_for_measurements_of_stages_that_make_rows(tmp_path: Path) -> None:
    evaluation = {"every_stage": True, "data": {"path": "world:test"}}
    run = run_with(tmp_path / "run", {"targets": PAIRS}, evaluation=evaluation)
    text = write_report(run).read_text(encoding="utf-8")
    assert "targets: not measured" not in text and "sft: not begun" in text
