from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.offline.grade import GradeSummary, grade_rows
from mmupt.offline.output import write_records
from mmupt.offline.rows import ResponseRow

ROWS = [
    {"id": "one", "response": r"so \boxed{3}", "answer": 3, "choices": None},
    {"response": "I do not know what to say about it.", "answer": "4"},
    {"id": "many", "responses": ["B", r"\boxed{9}", "", "The answer is B."], "answer": "B", "choices": ["8", "7"]},
]


def test_verdicts_in_input_order(jsonl, command, lines_of, tmp_path) -> None:
    out = tmp_path / "new" / "folder" / "graded.jsonl"
    printed = command("grade", jsonl(ROWS), "--out", out, "--json").stdout
    assert lines_of(out) == [
        {"id": "one", "extracted": "3", "correct": True},
        {"id": "rows-2", "extracted": None, "correct": False},
        {"id": "many", "extracted": ["B", "9", None, "B"], "correct": [True, False, False, True]},
    ]
    # Rows weigh the same, however many responses they hold.
    assert json.loads(printed) == {"n": 3, "accuracy": (1 + 0 + 0.5) / 3, "no_answer": 2}
    assert printed.count("\n") == 1


def test_the_way_an_answer_is_read(jsonl, command, refusal) -> None:
    path = jsonl([{"response": r"<final>5</final> \boxed{6} The answer is 7.", "answer": "5"}])

    def accuracy(*options: str) -> float:
        return json.loads(command("grade", path, "--json", *options).stdout)["accuracy"]

    assert accuracy("--extract", "tag:final") == 1.0
    assert accuracy("--extract", "boxed") == 0.0
    message = refusal("grade", path, "--extract", "tag:")
    assert message.startswith('--extract "tag:": use "lenient", "boxed" or "tag:NAME"')


def test_precision_and_unit_reach_the_grader(jsonl, command, lines_of, tmp_path) -> None:
    rows = [
        {"response": r"\boxed{3.14}", "answer": "3.1", "precision": 1.0},
        {"response": r"\boxed{3.14}", "answer": "3.1"},
        {"response": r"\boxed{5 minutes}", "answer": "5", "unit": "minutes per day"},
        {"response": r"\boxed{5 km}", "answer": "5", "unit": "minutes per day"},
    ]
    out = tmp_path / "out.jsonl"
    command("grade", jsonl(rows), "--out", out)
    assert [row["correct"] for row in lines_of(out)] == [True, False, True, False]


def test_the_readable_output(jsonl, command) -> None:
    unread = [
        {"id": f"[red]{n}[/red]", "response": f"Nothing\x1b[31m is \ud800 said {n} here", "answer": "1"} for n in "abcd"
    ]
    printed = command("grade", jsonl([*ROWS, *unread])).stdout
    assert "accuracy   21.43 %" in printed and "no answer        6" in printed
    assert "many (response 3): empty response" in printed
    assert "[red]a[/red] (response 1): " in printed and "said a here" in printed
    assert "[red]b[/red]" not in printed  # three examples
    assert "\x1b" not in printed


def test_half_a_surrogate_pair_is_written(jsonl, command, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    command(
        "grade", jsonl([{"response": "\\boxed{x\ud800y}", "answer": "z", "choices": ["\ud83d", "b"]}]), "--out", out
    )
    (line,) = out.read_bytes().decode("utf-8").splitlines()
    json.loads(line)["extracted"].encode("utf-8")


def test_nothing_is_overwritten_unasked(jsonl, command, refusal, tmp_path) -> None:
    path, out = jsonl(ROWS), tmp_path / "out.jsonl"
    out.write_text("precious")
    assert "exists already" in refusal("grade", path, "--out", out)
    assert out.read_text() == "precious"
    command("grade", path, "--out", out, "--overwrite")
    assert out.read_text().count("\n") == 3
    before = path.read_bytes()
    assert "is the file that is read" in refusal("grade", path, "--out", path, "--overwrite")
    assert path.read_bytes() == before
    assert "no regular file" in refusal("grade", path, "--out", tmp_path, "--overwrite")
    assert "no regular file" in refusal("grade", path, "--out", os.devnull, "--overwrite")
    assert "no regular file" in refusal("grade", path, "--out", "-")
    assert "cannot be written" in refusal("grade", path, "--out", path / "below" / "out.jsonl")


def test_a_bad_row_leaves_no_output(jsonl, refusal, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    refusal("grade", jsonl([*ROWS, b"{"]), "--out", out, "--overwrite")
    assert out.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl"]


def test_rows_are_graded_and_written_one_at_a_time(tmp_path: Path) -> None:
    drawn = 0

    def rows():
        nonlocal drawn
        for n in range(3000):
            drawn += 1
            yield ResponseRow(f"row-{n}-" + "x" * 50, ("3",), True, "3", None, None, None)

    records = grade_rows(rows(), AnswerSettings(extract="lenient"), GradeSummary())
    next(records)
    assert drawn == 1

    def watched():
        for n, record in enumerate(records):
            yield record
            if n == 2000:
                (temporary,) = tmp_path.iterdir()
                assert temporary.name != "out.jsonl" and temporary.stat().st_size > 100_000

    write_records(watched(), tmp_path / "out.jsonl")
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_grading_needs_no_torch(jsonl) -> None:
    code = "import sys; from mmupt.cli.answers import grade; grade(sys.argv[1], as_json=True); "
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, jsonl(ROWS)], check=True, timeout=60)


def test_real_responses(shared_data, command, lines_of, tmp_path) -> None:
    path, out = shared_data / "responses" / "tabmwp_gpt3_exp4.jsonl", tmp_path / "out.jsonl"
    if not path.is_file():
        pytest.skip(f"no real responses: {path.name} is absent")
    figures = json.loads(command("grade", path, "--json", "--out", out).stdout)
    graded, source = lines_of(out), lines_of(path)
    assert [row["id"] for row in graded] == [row["id"] for row in source]
    assert figures["accuracy"] == pytest.approx(sum(row["correct"] for row in graded) / 1000)
    assert figures["no_answer"] == sum(row["extracted"] is None for row in graded)
    free = [(g, s) for g, s in zip(graded, source, strict=True) if s["ques_type"] == "free_text"]
    assert sum(g["correct"] == s["ref_correct"] for g, s in free) >= 0.99 * len(free)
