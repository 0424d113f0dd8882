"""Pictures without questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.data.dataset import load_prompts
from mmupt.data.pictures import is_bare, is_picture_folder, load_pictures
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError
from mmupt.types import Prompt


@pytest.fixture
def album(tmp_path: Path, make_png: Callable[..., bytes]) -> Path:
    """Four pictures, one of them in a folder below, and what is to be left alone."""
    root = tmp_path / "album"
    for number, name in enumerate(
        ["b.PNG", "a.jpg", "more/c.webp", "a.png", ".hidden.png", ".cache/d.png", "notes.txt"]
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(make_png((number, 0, 0)))
    return root


def test_a_folder_of_pictures(album: Path) -> None:
    found = load_pictures(DataSettings(path=str(album)))
    assert [prompt.id for prompt in found.rows] == ["a.jpg", "a.png", "b.PNG", "more/c.webp"]
    assert all(prompt.question == "<image>" and is_bare(prompt) and prompt.choices is None for prompt in found.rows)
    assert [Path(prompt.images[0].path or "") for prompt in found.rows] == [album / prompt.id for prompt in found.rows]
    assert len(load_pictures(DataSettings(path=str(album), limit=2)).rows) == 2
    renamed = DataSettings(path=str(album), columns=ColumnSettings(images="photo", id="name"), placeholders="prepend")
    assert load_pictures(renamed).rows == found.rows, "columns are those of rows, which pictures have none of"


def test_a_picture_that_cannot_be_read(album: Path) -> None:
    (album / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with pytest.raises(DataError, match=r"broken\.png: images: picture .*is not a picture that can be read"):
        load_pictures(DataSettings(path=str(album)))
    found = load_pictures(DataSettings(path=str(album), bad_rows="skip"))
    assert len(found.rows) == 4 and [row.where for row in found.skipped] == [str(album / "broken.png")]


def test_what_is_a_folder_of_pictures(album: Path, tmp_path: Path) -> None:
    assert (
        is_picture_folder(album) and not is_picture_folder(album / "a.png") and not is_picture_folder(tmp_path / "no")
    )
    (tmp_path / "empty").mkdir()
    assert not is_picture_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="it holds no data file at all"):
        load_pictures(DataSettings(path=str(tmp_path / "empty")))
    (album / "test.jsonl").write_text("")
    assert not is_picture_folder(album), "a data set has its pictures beside it"
    with pytest.raises(DataError, match=r"it holds test\.jsonl: set data\.split"):
        load_pictures(DataSettings(path=str(album)))


def test_a_stage_that_needs_questions_says_who_writes_some(album: Path) -> None:
    with pytest.raises(DataError, match="pictures without questions: `mmupt synth` can write some"):
        load_prompts(DataSettings(path=str(album)))


def test_rows_with_and_without_questions(folder: Any) -> None:
    rows = [folder.good(0), folder.good(1), folder.good(2), folder.good(3)]
    del rows[1]["question"]
    rows[2]["question"] = "  "
    rows[3] |= {"question": "<image> ", "images": ["images/3.png"], "answer": {"never": "read"}}
    found = load_pictures(folder.jsonl(rows))
    assert [prompt.question for prompt in found.rows] == ["<image>What is 0?", "<image>", "<image>", "<image>"]
    assert [is_bare(prompt) for prompt in found.rows] == [False, True, True, True]
    assert [prompt.id for prompt in found.rows] == ["q-0", "q-1", "q-2", "q-3"]


def test_rows_without_the_column_of_questions(folder: Any) -> None:
    settings = folder.jsonl([{"images": [folder.good(0)["images"][0]]}, {"images": folder.good(1)["images"] * 2}])
    assert [(p.id, p.question) for p in load_pictures(settings).rows] == [
        ("train-1", "<image>"),
        ("train-2", "<image><image>"),
    ]
    named = settings.model_copy(update={"columns": ColumnSettings(question="problem")})
    with pytest.raises(DataError, match='has no column "problem"'):
        load_pictures(named)


def test_rows_without_a_picture(folder: Any) -> None:
    rows = [folder.good(0), {"id": "text", "question": "What is 2+3?"}, {"id": "nothing"}]
    settings = folder.jsonl([json.dumps(row) for row in rows])
    with pytest.raises(DataError, match="images: the row has no picture, and a question is to be written about one"):
        load_pictures(settings)
    found = load_pictures(settings.model_copy(update={"bad_rows": "skip"}))
    assert [prompt.id for prompt in found.rows] == ["q-0"] and len(found.skipped) == 2


def test_bare_prompts() -> None:
    assert is_bare(Prompt("1", "<image>")) and is_bare(Prompt("1", "<image> <image>\n"))
    assert not is_bare(Prompt("1", "<image>?"))
