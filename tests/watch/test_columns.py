"""A file of groups as the list has it: the same as the rows say, whatever bytes stand in the file."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmupt.answers.equivalence import same
from mmupt.errors import RunFolderError
from mmupt.runtime.groups import SCHEMA
from mmupt.runtime.parquet import write_table
from mmupt.watch.columns import NAME, answer_key, read_columns, read_rows, read_texts, short_name


def test_the_columns_are_what_the_rows_say(tmp_path: Path, made: SimpleNamespace) -> None:
    rng = random.Random(0)
    answers = [[rng.choice(["1", "2", "1/2", "0.5", None]) for _ in range(6)] for _ in range(40)]
    rows = [made.row(f"p{i % 30}", given, visit=i // 30, question=f"Q{i % 3}") for i, given in enumerate(answers)]
    write_table(tmp_path / "a.parquet", rows, SCHEMA)
    found = read_columns(tmp_path / "a.parquet")
    assert found.count == 40 and sorted(found.questions) == ["Q0", "Q1", "Q2"]
    for i, row in enumerate(rows):
        at = {name: column[i] for name, column in found.columns.items()}
        assert (at["id"], at["visit"], at["role"]) == (row["prompt_id"], row["visit"], "answer")
        assert found.questions[at["question"]] == row["question"]
        assert (at["answer"], at["size"], at["tie"]) == (row["majority"], 6, int(row["tie"]))
        assert at["share"] == pytest.approx(row["share"], abs=1e-4)
        assert at["reward"] == pytest.approx(sum(row["rewards"]) / 6, abs=1e-4)
        assert at["unread"] == row["answers"].count(None)
        assert at["sizes"] == [len(cluster["members"]) for cluster in row["clusters"]]
        assert (at["key"] is None) == (row["majority"] is None)


def test_keys_are_equal_where_answers_are_the_same() -> None:
    spellings = ["1/2", "0.5", "\\frac{1}{2}", "50%", "B", "two", "2", "yes"]
    for a in spellings:
        for b in spellings:
            assert (answer_key(a, ()) == answer_key(b, ())) == same(a, b), (a, b)
    assert answer_key("B", ("3", "4")) == answer_key("4", ("3", "4")) != answer_key("3", ("3", "4"))


def test_texts_are_casefolded_and_hold_everything(tmp_path: Path, made: SimpleNamespace) -> None:
    row = made.row(
        "Id-7", ["12", None], question="STRASSE?", choices=["Weiß", "b"], responses=["say \\boxed{12}", "NO"]
    )
    write_table(tmp_path / "a.parquet", [row], SCHEMA)
    (text,) = read_columns(tmp_path / "a.parquet").texts
    for part in ("id-7", "strasse", "weiss", "12", "say \\boxed", "no"):
        assert part in text
    assert "strasse?weiss" not in text  # nothing is found across two parts
    assert read_texts(tmp_path / "a.parquet") == (text,)


def test_bytes_that_are_no_utf8_become_a_sign(tmp_path: Path, made: SimpleNamespace) -> None:
    row = made.row("p", ["1"], images=[{"path": None, "bytes": b"\xff\xfe"}])
    table = pa.Table.from_pylist([row], schema=SCHEMA)
    broken = pa.array([["a\ufffd"]], pa.list_(pa.string()))
    raw = pa.ListArray.from_arrays(
        broken.offsets, pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffz"))
    )
    pq.write_table(table.set_column(SCHEMA.get_field_index("responses"), "responses", raw), tmp_path / "a.parquet")
    (found,) = read_rows(tmp_path / "a.parquet")
    assert found["responses"] == ["a\ufffdz"] and found["question"] == row["question"]
    assert found["images"] == row["images"] and found["clusters"] == row["clusters"]
    assert "a\ufffdz" in read_columns(tmp_path / "a.parquet").texts[0]


def test_what_cannot_be_read_is_said(tmp_path: Path, made: SimpleNamespace) -> None:
    with pytest.raises(RunFolderError, match="not there"):
        read_columns(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(RunFolderError, match="damaged"):
        read_columns(tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(RunFolderError, match="no column"):
        read_columns(tmp_path / "b.parquet")
    write_table(tmp_path / "c.parquet", [made.row("p", ["1"])], SCHEMA)
    for outside in (-1, 1):
        with pytest.raises(IndexError):
            read_rows(tmp_path / "c.parquet", row=outside)


def test_groups_from_before_roles_are_answers(tmp_path: Path, made: SimpleNamespace) -> None:
    table = pa.Table.from_pylist([made.row("p", ["1"])], schema=SCHEMA).drop_columns(["role"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.parquet").columns["role"] == ["answer"]


def test_long_names_stay_different() -> None:
    a, b = "x" * 1000, "x" * 999 + "y"
    assert short_name(a) != short_name(b) and len(short_name(a)) <= NAME and short_name("short") == "short"
