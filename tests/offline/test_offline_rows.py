"""What a file with responses may look like, and what is said of one that does not."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmupt.data.columns import RowProblem
from mmupt.data.rows import RawRow
from mmupt.offline.rows import read_group_row, read_labeled_row

GOOD = {"id": "q", "response": r"\boxed{3}", "answer": "3", "choices": None}


def row(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **values}.items() if value != "ABSENT"}


BAD: dict[str, tuple[Any, str, str]] = {
    "not JSON": (b"{", "line", "not JSON"),
    "not an object": (b"[1]", "line", "one object a line"),
    "not UTF-8": (b'{"id": "\xff"}', "line", "not UTF-8"),
    "nothing to grade": (row(response="ABSENT"), "response", "neither"),
    "null twice": (row(response=None, responses=None), "response", "neither"),
    "no responses": (row(response=None, responses=[]), "responses", "empty list"),
    "both": (row(responses=["3"]), "response", "keep one"),
    "response is a list": (row(response=["3"]), "response", "holds a list"),
    "response is a number": (row(response=3), "response", "holds a int"),
    "responses is a text": (row(response=None, responses="3"), "responses", "holds a str"),
    "a response is null": (row(response=None, responses=["3", None]), "responses", "entry 2"),
    "choices is a text": (row(choices="A, B"), "choices", "write a list of texts"),
    "choices of lists": (row(choices=["3", ["4"]]), "choices", "entry 2"),
    "too many choices": (row(choices=[str(i) for i in range(27)]), "choices", "27 choices"),
    "answer is true": (row(answer=True), "answer", "neither text nor a number"),
    "answer is infinite": (b'{"response": "3", "answer": Infinity}', "answer", "not a finite number"),
    "answer is blank": (row(answer=" "), "answer", "empty"),
    "precision is NaN": (b'{"response": "3", "answer": "3", "precision": NaN}', "precision", "is nan"),
    "precision is infinite": (b'{"response": "3", "answer": "3", "precision": 1e999}', "precision", "is inf"),
    "precision is no whole number": (row(precision=1.5), "precision", "is 1.5"),
    "precision is negative": (row(precision=-1), "precision", "is -1"),
    "precision is true": (row(precision=True), "precision", "holds a bool"),
    "precision is a text": (row(precision="2"), "precision", "holds a str"),
    "unit is a list": (row(unit=["cm"]), "unit", "neither text nor a number"),
    "id is a list": (row(id=[1]), "id", "neither text nor a number"),
}


@pytest.mark.parametrize(("bad", "column", "said"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_with_line_and_column(jsonl, command, refusal, bad, column, said) -> None:
    path = jsonl([GOOD, bad, GOOD])
    message = refusal("grade", path)
    assert message.startswith(f"{path}:2: {column}: ")
    assert said in message and "--bad-rows skip" in message
    skipped = command("grade", path, "--bad-rows", "skip", "--json")
    assert json.loads(skipped.stdout) == {"n": 2, "accuracy": 1.0, "no_answer": 0}
    assert "left out 1 bad row" in skipped.stderr and f"{path}:2: {column}" in skipped.stderr


def test_gold_is_needed_to_grade_and_not_to_vote(jsonl, command, refusal) -> None:
    for absent in (None, "ABSENT"):
        unlabeled = row(response="ABSENT", responses=["3"], answer=absent)
        assert ":1: answer: the gold answer is missing" in refusal("grade", jsonl([unlabeled]))
        assert command("vote", jsonl([unlabeled])).exit_code == 0


def test_a_vote_needs_a_list(jsonl, refusal) -> None:
    assert ':1: responses: is missing, the row holds one "response"' in refusal("vote", jsonl([GOOD]))


def test_further_bad_rows_are_listed_up_to_five(jsonl, refusal) -> None:
    path = jsonl([GOOD, *([row(response=7)] * 8)])
    message = refusal("grade", path)
    lines = message.split("\n")
    assert lines[0].startswith(f"{path}:2: ")
    assert lines[1] == "7 other bad rows, the first 5 of them:"
    assert [line.split(": ")[0] for line in lines[2:7]] == [f"  - {path}:{n}" for n in range(3, 8)]
    assert len(lines) == 8


def test_no_usable_row(jsonl, refusal) -> None:
    for policy in ("stop", "skip"):
        message = refusal("grade", jsonl([row(response=7)]), "--bad-rows", policy)
        assert "No usable row is left." in message and "--bad-rows" not in message
    assert "holds no rows" in refusal("grade", jsonl([b"", b"  "]))


def test_lines_as_editors_leave_them(tmp_path, command) -> None:
    path = tmp_path / "rows.jsonl"
    # A byte order mark, CRLF, blank lines, a line separator inside a text, no newline at the end.
    odd = json.dumps({**GOOD, "response": "so\u2028\x85\\boxed{3}"}, ensure_ascii=False).encode()
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n  \n" + odd)
    assert json.loads(command("grade", path, "--json").stdout) == {"n": 2, "accuracy": 1.0, "no_answer": 0}


def test_standard_input(tmp_path, command, refusal, lines_of) -> None:
    line = json.dumps(row(id="ABSENT")).encode()
    out = tmp_path / "out.jsonl"
    figures = command("grade", "-", "--json", "--out", out, stdin=line + b"\n\n" + line).stdout
    assert json.loads(figures)["n"] == 2
    assert [r["id"] for r in lines_of(out)] == ["stdin-1", "stdin-3"]
    assert refusal("grade", "-", stdin=b"\n{").startswith("stdin:2: line: ")


def test_parquet_has_the_same_columns(tmp_path, command, refusal, lines_of) -> None:
    rows = [
        {"response": "3.14", "answer": 3.14, "choices": None, "precision": 1.0},
        {"response": "B", "answer": None, "choices": ["1", "2"], "precision": None},
    ]
    path, out = tmp_path / "p.parquet", tmp_path / "out.jsonl"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert refusal("grade", path).startswith(f"{path}:2: answer: ")
    command("grade", path, "--bad-rows", "skip", "--out", out)
    assert lines_of(out) == [{"id": "p-1", "extracted": "3.14", "correct": True}]
    path.write_bytes(b"PAR1 no")
    assert "cannot be read as Parquet" in refusal("grade", path)


def test_files_that_are_not_there(tmp_path, refusal) -> None:
    assert "does not exist" in refusal("grade", tmp_path / "none.jsonl")
    assert "is a folder" in refusal("vote", tmp_path)
    (tmp_path / "rows.csv").write_text("a,b")
    assert "is no .jsonl or .parquet file" in refusal("grade", tmp_path / "rows.csv")


def test_what_a_row_becomes() -> None:
    raw = RawRow(
        4, "f:4", {"id": 17, "responses": ["a", ""], "answer": 2.5, "choices": [], "precision": 1.0, "unit": ""}
    )
    for read in (read_labeled_row, read_group_row):
        result = read(raw, "f")
        assert (result.id, result.responses, result.single) == ("17", ("a", ""), False)
        assert (result.answer, result.choices, result.precision, result.unit) == ("2.5", None, 1, None)
        assert type(result.precision) is int
    with pytest.raises(RowProblem, match="gold answer is missing"):
        read_labeled_row(RawRow(1, "f:1", {"response": "a"}), "f")
