from __future__ import annotations

import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mmupt.data import dataset
from mmupt.data.dataset import check_images, load_labeled, load_prompts
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError
from mmupt.types import LabeledPrompt, Prompt


def fails(settings: DataSettings, load: Any = load_labeled) -> str:
    with pytest.raises(DataError) as caught:
        load(settings)
    return str(caught.value)


def test_a_whole_row(folder) -> None:
    row = folder.good(1, choices=["a", 2, 2.5], unit="cm", solution="It is 1.", answer=7, answer_kind="free")
    (labeled,) = load_labeled(folder.jsonl([row])).rows
    assert labeled.prompt.choices == ("a", "2", "2.5")
    assert labeled.prompt.images[0].path == str(folder.path / "images/1.png")
    expected = LabeledPrompt(labeled.prompt, "7", "cm", "It is 1.", {"level": 1, "answer_kind": "free"})
    assert labeled == expected
    (prompt,) = load_prompts(folder.jsonl([row])).rows
    assert prompt == labeled.prompt
    assert isinstance(prompt, Prompt)


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no question": ({"question": None}, "question", "missing or empty"),
    "blank question": ({"question": " \n"}, "question", "missing or empty"),
    "question is a list": ({"question": ["a"]}, "question", "neither text nor a number"),
    "no answer": ({"answer": None}, "answer", "missing or empty"),
    "blank answer": ({"answer": ""}, "answer", "missing or empty"),
    "answer is true": ({"answer": True}, "answer", "write it as text"),
    "answer is NaN": ({"answer": float("nan")}, "answer", "not a finite number"),
    "choices are text": ({"choices": "A, B"}, "choices", "write a list of choices"),
    "an empty choice": ({"choices": ["a", None]}, "choices", "empty choice"),
    "too many choices": ({"choices": list(range(27))}, "choices", "27 choices; 26"),
    "picture is a number": ({"images": [3]}, "images", "write its path or its bytes"),
    "picture without anything": ({"images": [{"bytes": None, "path": None}]}, "images", "write its path"),
    "picture as base64": ({"images": ["data:image/png;base64,AAAA"]}, "images", "save it to a file"),
    "picture on the web": ({"images": ["https://example.org/1.png"]}, "images", "nothing is downloaded"),
    "picture missing": ({"images": ["images/none.png"]}, "images", "images/none.png does not exist"),
    "picture broken": ({"images": ["images/cut.png"]}, "images", "images/cut.png is damaged"),
    "one placeholder too many": ({"question": "<image><image>?"}, "question", "holds 2 <image> for 1 picture;"),
    "no placeholder": ({"question": "What?"}, "question", 'set data.placeholders = "prepend"'),
    "no picture": ({"images": None}, "question", "holds 1 <image> for 0 pictures;"),
    "numbered": ({"question": "<image1>?"}, "question", "numbers its placeholders (<image1>) and has 1 picture; set"),
    "numbered, none": ({"question": "<image1>?", "images": []}, "question", "set data.columns.images"),
    "half a character": ({"question": "<image>\ud800?"}, "question", "half of a surrogate pair"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_file_row_and_column(folder, make_png, name: str) -> None:
    changes, column, wrong = BAD[name]
    whole = make_png(size=(64, 64))
    (folder.path / "images" / "cut.png").write_bytes(whole[: len(whole) - 30])
    rows = [folder.good(1), folder.good(2), folder.good(3)]
    settings = folder.jsonl([rows[0], json.dumps(rows[1] | changes), rows[2]])
    message = fails(settings)
    assert f"{settings.path}/train.jsonl:2: {column}: " in message
    assert wrong in message
    assert 'data.bad_rows = "skip"' in message

    data = load_labeled(settings.model_copy(update={"bad_rows": "skip"}))
    assert [row.prompt.id for row in data.rows] == ["q-1", "q-3"]
    (skipped,) = data.skipped
    assert skipped.where == f"{settings.path}/train.jsonl:2"
    assert skipped.reason.startswith(f"{column}: ")
    assert wrong in skipped.reason


def test_the_first_bad_row_is_told_and_the_others_listed(folder) -> None:
    rows = [folder.good(k, images=["none.png"] if k % 2 else ["images/0.png"]) for k in range(20)]
    rows[4] |= {"answer": None}  # found before any picture is looked at, and still not the first
    message = fails(folder.jsonl(rows))
    lines = message.split("\n")
    assert "train.jsonl:2: images: " in lines[0]
    assert lines[1] == "10 other bad rows, the first 5 of them:"
    assert [line.split(":")[1] for line in lines[2:7]] == ["4", "5", "6", "8", "10"]
    assert len(lines) == 8


def test_duplicate_ids_name_both_rows(folder) -> None:
    settings = folder.jsonl([folder.good(1), folder.good(2), folder.good(3, id="q-1")])
    message = fails(settings, load_prompts)
    assert "train.jsonl:3: id: " in message
    assert f'"q-1" is already the id of {settings.path}/train.jsonl:1' in message


def test_ids_are_made_where_there_are_none(folder) -> None:
    rows = [folder.good(k) for k in (1, 2)]
    for row in rows:
        del row["id"]
    settings = folder.jsonl([rows[0], "", rows[1]])
    assert [row.id for row in load_prompts(settings).rows] == ["train-1", "train-3"]


def test_nothing_to_read(folder) -> None:
    assert "train.jsonl holds no rows" in fails(folder.jsonl([""]))
    bad = folder.jsonl([folder.good(1, answer=None)] * 2).model_copy(update={"bad_rows": "skip"})
    message = fails(bad)
    assert "train.jsonl:1: answer:" in message
    assert "No usable row is left." in message
    assert "bad_rows" not in message


def test_columns_that_are_not_there(folder) -> None:
    settings = folder.jsonl([folder.good(1)])
    wrong = settings.model_copy(update={"columns": ColumnSettings(question="problem")})
    message = fails(wrong)
    assert 'has no column "problem" (columns: answer, choices, id, images, meta, question, unit)' in message
    assert "data.columns.question" in message
    named = settings.model_copy(update={"columns": ColumnSettings(solution="chain")})
    assert "set data.columns.solution" in fails(named)
    assert len(load_prompts(named).rows) == 1  # a label that is not read is not missed


def test_prepend_puts_pictures_in_front(folder) -> None:
    rows = [
        folder.good(1, question="What?"),
        folder.good(2, question="Left <image> or not?"),
        folder.good(3, question="Both?", images=["images/1.png", "images/2.png"]),
        folder.good(4, question="No picture at all?", images=[]),
    ]
    settings = folder.jsonl(rows).model_copy(update={"placeholders": "prepend"})
    assert [row.question for row in load_prompts(settings).rows] == [
        "<image>What?",
        "Left <image> or not?",
        "<image><image>Both?",
        "No picture at all?",
    ]
    wrong = folder.jsonl([folder.good(1, question="<image><image>?")]).model_copy(update={"placeholders": "prepend"})
    assert "train.jsonl:1: question: holds 2 <image> for 1 picture" in fails(wrong)
    text_only = folder.jsonl([folder.good(1, question="?", images=[])]).model_copy(update={"placeholders": "prepend"})
    assert 'no row has a picture in column "images"' in fails(text_only)


def test_numbered_placeholders_become_words(folder) -> None:
    changes = {"choices": ["<image2>", "<image3>"], "answer": "<image3>", "solution": "See <image 3>."}
    rows = [
        folder.good(1, question="The ant <image1>walks to<image2>.", **changes),
        folder.good(2, question="<image1> or <image2>?", images=["images/1.png", "images/2.png"]),
        folder.good(3, question="<image3>?", images=["images/1.png", "images/2.png"]),
    ]
    settings = folder.jsonl(rows).model_copy(update={"placeholders": "prepend", "bad_rows": "skip"})
    data = load_labeled(settings)
    assert data.rows[0].prompt.question == "<image>The ant image 1 walks to image 2."
    assert data.rows[0].prompt.choices == ("image 2", "image 3")
    assert (data.rows[0].answer, data.rows[0].solution) == ("image 3", "See image 3.")
    assert data.rows[1].prompt.question == "<image><image>image 1 or image 2?"
    assert "names picture <image3>, but the row has 2 pictures" in data.skipped[0].reason


def shuffled_and_deleted(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    labels = ("answer", "unit", "solution", "meta")
    reverse = [row | {name: other[name] for name in labels} for row, other in zip(rows, rows[::-1], strict=True)]
    deleted = [{name: value for name, value in row.items() if name not in labels} for row in rows]
    nonsense = [row | {"answer": {"not": ["an answer"]}, "unit": float("nan"), "solution": 3} for row in rows]
    return [reverse, deleted, nonsense]


def test_prompts_do_not_depend_on_labels_jsonl(folder) -> None:
    rows = [folder.good(k, unit="cm", solution=f"so {k}") for k in range(6)]
    expected = load_prompts(folder.jsonl(rows))
    for variant in shuffled_and_deleted(rows):
        assert load_prompts(folder.jsonl(variant)) == expected


def test_prompts_do_not_depend_on_labels_parquet(folder, monkeypatch) -> None:
    rows = [folder.good(k, unit="cm", solution=f"so {k}") for k in range(6)]
    path = folder.path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    expected = load_prompts(DataSettings(path=str(path)))
    for variant in shuffled_and_deleted(rows):
        pq.write_table(pa.Table.from_pylist(variant), path)
        assert load_prompts(DataSettings(path=str(path))) == expected

    asked: list[list[str]] = []
    original = pq.ParquetFile.iter_batches

    def spy(self: pq.ParquetFile, **options: Any) -> Any:
        asked.append(options["columns"])
        return original(self, **options)

    pq.write_table(pa.Table.from_pylist(rows), path)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    load_prompts(DataSettings(path=str(path)))
    assert [sorted(names) for names in asked] == [["choices", "id", "images", "question"]]


def test_a_label_cannot_be_named_as_part_of_the_prompt() -> None:
    with pytest.raises(ValidationError, match='question and answer both name the column "text"'):
        ColumnSettings(question="text", answer="text")


def test_subset_and_revision_are_for_the_hub() -> None:
    with pytest.raises(ValidationError, match='revision is for a path "hub:ORG/NAME"'):
        DataSettings(path="rows.jsonl", revision="main")


def test_large_sets_are_checked_by_their_headers(folder, make_png, monkeypatch) -> None:
    whole = make_png(size=(64, 64))
    (folder.path / "images" / "cut.png").write_bytes(whole[: len(whole) - 30])
    settings = folder.jsonl([folder.good(1), folder.good(2, images=["images/cut.png"])])
    monkeypatch.setattr(dataset, "FULL_CHECK_LIMIT", 1)
    fine, cut = load_prompts(settings).rows
    check_images(fine)
    with pytest.raises(DataError, match=r"images/cut\.png is damaged"):
        check_images(cut)
    os.remove(folder.path / "images" / "1.png")
    assert "images/1.png does not exist" in fails(settings)


def test_a_shared_picture_is_looked_at_once(folder, monkeypatch) -> None:
    rows = [folder.good(k) | {"images": ["images/0.png"]} for k in range(10)]
    settings = folder.jsonl(rows)
    seen: list[Any] = []
    monkeypatch.setattr(dataset, "open_image", seen.append)
    assert len(load_prompts(settings).rows) == 10
    assert len(seen) == 1
