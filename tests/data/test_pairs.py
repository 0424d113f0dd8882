"""Preference pairs: read, refused, written and read again."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mmupt.data.dataset import load_pairs
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.data.writer import write_jsonl
from mmupt.errors import DataError
from mmupt.types import ImageSource, PreferencePair, Prompt


def pair_row(folder: Any, number: int, **changes: Any) -> dict[str, Any]:
    row = folder.good(number, chosen=f"It is {number}.", rejected=f"It is {number + 1}.")
    return {name: value for name, value in row.items() if name not in ("answer", "unit")} | changes


def fails(settings: DataSettings) -> str:
    with pytest.raises(DataError) as caught:
        load_pairs(settings)
    return str(caught.value)


def test_a_whole_row(folder) -> None:
    row = pair_row(folder, 1, choices=["a", "b"], chosen=7, rejected=" eight\n", answer="never read")
    (pair,) = load_pairs(folder.jsonl([row])).rows
    image = ImageSource(path=str(folder.path / "images/1.png"))
    prompt = Prompt("q-1", "<image>What is 1?", (image,), ("a", "b"))
    assert pair == PreferencePair(prompt, "7", " eight\n", {"level": 1})


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no chosen": ({"chosen": None}, "chosen", "missing or empty; write one, or leave the row out"),
    "blank chosen": ({"chosen": " \n"}, "chosen", "missing or empty"),
    "no rejected": ({"rejected": None}, "rejected", "missing or empty"),
    "empty rejected": ({"rejected": ""}, "rejected", "missing or empty"),
    "the same twice": (
        {"rejected": "It is 2."},
        "rejected",
        'equals the one in "chosen", so there is nothing to prefer',
    ),
    "a conversation": ({"chosen": [{"role": "assistant"}]}, "chosen", "neither text nor a number; write it as text"),
    "no question": ({"question": None}, "question", "missing or empty"),
    "no picture": ({"images": None}, "question", "holds 1 <image> for 0 pictures;"),
    "an id again": ({"id": "q-1"}, "id", "is already the id of"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_file_row_and_column(folder, name: str) -> None:
    changes, column, wrong = BAD[name]
    settings = folder.jsonl([pair_row(folder, 1), pair_row(folder, 2, **changes), pair_row(folder, 3)])
    message = fails(settings)
    assert f"{settings.path}/train.jsonl:2: {column}: " in message
    assert wrong in message
    assert 'data.bad_rows = "skip"' in message
    data = load_pairs(settings.model_copy(update={"bad_rows": "skip"}))
    assert [pair.prompt.id for pair in data.rows] == ["q-1", "q-3"] and len(data.skipped) == 1


@pytest.mark.parametrize("missing", ["chosen", "rejected"])
def test_a_source_without_the_column_names_those_it_has(folder, missing: str) -> None:
    rows = [{k: v for k, v in pair_row(folder, n).items() if k != missing} for n in (1, 2)]
    message = fails(folder.jsonl(rows))
    assert f'has no column "{missing}" (columns: ' in message
    assert f"set data.columns.{missing} to the right one" in message


def test_columns_have_any_name_and_may_hold_labels(folder) -> None:
    row = pair_row(folder, 1, solution="The good one.", bad="The bad one.")
    del row["chosen"], row["rejected"]
    columns = ColumnSettings(chosen="solution", rejected="bad")
    (pair,) = load_pairs(folder.jsonl([row]).model_copy(update={"columns": columns})).rows
    assert (pair.chosen, pair.rejected) == ("The good one.", "The bad one.")
    with pytest.raises(ValidationError, match='chosen and rejected both name the column "text"'):
        ColumnSettings(chosen="text", rejected="text")
    with pytest.raises(ValidationError, match='question and rejected both name the column "text"'):
        ColumnSettings(question="text", rejected="text")


def test_numbered_pictures_become_words_in_responses_too(folder) -> None:
    row = pair_row(folder, 1, question="Which is larger?", chosen="<image1>.", rejected="not<image1>")
    settings = folder.jsonl([row]).model_copy(update={"placeholders": "prepend"})
    (pair,) = load_pairs(settings).rows
    assert (pair.prompt.question, pair.chosen, pair.rejected) == ("<image>Which is larger?", "image 1.", "not image 1")
    (pair,) = load_pairs(folder.jsonl([row | {"question": "<image>Which?"}])).rows
    assert pair.chosen == "<image1>.", "a question with a placeholder is left as it is, and so are its responses"


def test_parquet(folder, make_png) -> None:
    row = pair_row(folder, 1, images=[{"bytes": make_png(), "path": None}])
    pq.write_table(pa.Table.from_pylist([row]), folder.path / "pairs.parquet")
    (pair,) = load_pairs(DataSettings(path=str(folder.path / "pairs.parquet"))).rows
    assert (pair.chosen, pair.rejected, pair.meta) == ("It is 1.", "It is 2.", {"level": 1})


def test_what_is_written_is_read_back(folder, make_png, tmp_path) -> None:
    image = ImageSource(data=make_png())
    rows = [
        PreferencePair(Prompt("a/0", "<image>Größer\u2028als 3?", (image,)), "ja\n\n\\boxed{4}", "nein ", {"round": 2}),
        PreferencePair(Prompt("a/1", "<image>?", (image,), ("x", "y")), "B", "A"),
    ]
    path = write_jsonl(tmp_path / "out", "train", rows)
    columns = {"id", "question", "images", "choices", "chosen", "rejected", "meta"}
    assert set(json.loads(path.read_text(encoding="utf-8").split("\n")[0])) == columns
    again = load_pairs(DataSettings(path=str(tmp_path / "out"))).rows
    for row, read in zip(rows, again, strict=True):
        assert (read.chosen, read.rejected, read.meta) == (row.chosen, row.rejected, row.meta)
        assert (read.prompt.id, read.prompt.question, read.prompt.choices) == (
            row.prompt.id,
            row.prompt.question,
            row.prompt.choices,
        )
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1
