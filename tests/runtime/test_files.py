"""Atomic files and strict JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from safetensors import SafetensorError

from mmupt.errors import RunFolderError
from mmupt.runtime.files import (
    remove_temporaries,
    replacing,
    to_json,
    well_formed,
    write_json,
    write_text,
    writing,
)


def test_replaces_whole_files_and_leaves_no_temporary(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "x.txt", "one")
    write_text(tmp_path / "a" / "x.txt", "zwei ü\n")
    assert (tmp_path / "a" / "x.txt").read_text(encoding="utf-8") == "zwei ü\n"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.txt"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="disk on fire"), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("disk on fire")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporaries_of_the_dead_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".summary.json.tmp-77", "groups/upt/.000001.parquet.tmp-8", "keep.tmp-1", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    remove_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".hidden", "keep.tmp-1"]


def test_json_is_strict(tmp_path: Path) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    write_json(
        tmp_path / "x.json", {"a": float("nan"), "b": [float("-inf"), {"c": float("inf")}], "d": "\ud800", "e": 1.5}
    )
    read = json.loads((tmp_path / "x.json").read_bytes(), parse_constant=refuse)
    assert read == {"a": "nan", "b": ["-inf", {"c": "inf"}], "d": "\ud800", "e": 1.5}
    with pytest.raises(TypeError):
        to_json({"a": object()})


def test_lone_surrogates_are_replaced_and_pairs_are_joined() -> None:
    assert well_formed("a\ud800b\udfff") == "a�b�"
    assert well_formed("\ud83d\ude00 😀 שלום") == "😀 😀 שלום"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "Error writing bytes to file. Detail: [errno 28] ..."), "No space left on device"),
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), "File too large"),
        (OSError("rank 2: No space left on device"), "rank 2: No space left on device"),
    ],
)
def test_a_disk_that_refuses_is_one_message(tmp_path: Path, error: Exception, reason: str) -> None:
    path = tmp_path / "below" / "figures.json"
    with pytest.raises(RunFolderError) as caught, writing(path):
        raise error
    assert re.fullmatch(
        rf"{re.escape(str(path))}: cannot be written \({reason}; [\d.e+]+ GB free there\); free space, then resume .*",
        str(caught.value),
    )
    with pytest.raises(SafetensorError, match="shape"), writing(path):
        raise SafetensorError("a shape that does not fit")
