from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmupt.data.dataset import load_labeled, load_prompts
from mmupt.data.images import encode_png, open_image
from mmupt.data.settings import DataSettings
from mmupt.data.writer import write_jsonl
from mmupt.errors import DataError
from mmupt.types import ImageSource, LabeledPrompt, Prompt

RNG = np.random.default_rng(0)


def picture() -> ImageSource:
    return ImageSource(data=encode_png(Image.fromarray(RNG.integers(0, 256, (5, 9, 3), dtype=np.uint8))))


def labeled(name: str, **changes: object) -> LabeledPrompt:
    prompt = Prompt(id=name, question="<image>Größer\u2028als\n3?", images=(picture(),))
    return LabeledPrompt(**({"prompt": prompt, "answer": "4", "meta": {"level": 2}} | changes))  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path) -> None:
    two = Prompt(id="b/1", question="<image>or<image>?", images=(picture(), picture()), choices=("x", "y"))
    rows = [labeled("a", unit="cm", solution="2+2=4 \\boxed{4}"), LabeledPrompt(two, "B", meta={"ans_type": "letter"})]
    path = write_jsonl(tmp_path / "out", "test", rows)
    data = load_labeled(DataSettings(path=str(tmp_path / "out"), split="test"))
    for row, again in zip(rows, data.rows, strict=True):
        assert (again.prompt.id, again.prompt.question) == (row.prompt.id, row.prompt.question)
        assert again.prompt.choices == row.prompt.choices
        assert (again.answer, again.unit, again.solution) == (row.answer, row.unit, row.solution)
        for image, image_again in zip(row.prompt.images, again.prompt.images, strict=True):
            assert np.array_equal(np.asarray(open_image(image)), np.asarray(open_image(image_again)))
    assert data.rows[0].meta == {"level": 2, "answer_kind": "free"}
    assert data.rows[1].meta == {"answer_kind": "letter", "ans_type": "letter"}

    first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    labels = {"answer", "answer_kind", "unit", "ans_type", "meta", "solution"}
    assert set(first) == {"id", "question", "images", "choices"} | labels
    assert first["images"][0].startswith("images/")
    assert not [file for file in (tmp_path / "out").rglob("*") if "unfinished" in file.name]


def test_prompts_are_written_without_any_label(tmp_path) -> None:
    path = write_jsonl(tmp_path, "unlabeled", [labeled("a").prompt])
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {"id", "question", "images", "choices"}
    settings = DataSettings(path=str(path))
    assert load_prompts(settings).rows[0].id == "a"
    with pytest.raises(DataError, match=r"unlabeled.jsonl:1: answer: "):
        load_labeled(settings)


def test_a_shared_picture_is_stored_once(tmp_path) -> None:
    image = picture()
    prompts = [Prompt(id=str(k), question="<image>?", images=(image,)) for k in range(3)]
    write_jsonl(tmp_path, "train", prompts)
    assert len(list((tmp_path / "images").iterdir())) == 1


def test_answer_kinds(tmp_path) -> None:
    choices = ("cat", "A")
    answers = {"cat": "choice_text", "A": "choice_text", "B": "letter", "C": "free", "": "free"}
    rows = [LabeledPrompt(Prompt(id=f"q{a}", question="?", choices=choices), a) for a in answers]
    path = write_jsonl(tmp_path, "train", rows)
    lines = path.read_text(encoding="utf-8").strip().split("\n")
    assert [json.loads(line)["answer_kind"] for line in lines] == list(answers.values())


def test_refusals_leave_nothing_behind(tmp_path) -> None:
    with pytest.raises(DataError, match=r'train.jsonl: two rows have the id "a"'):
        write_jsonl(tmp_path, "train", [labeled("a"), labeled("a")])
    with pytest.raises(DataError, match="no rows to write"):
        write_jsonl(tmp_path, "train", [])
    with pytest.raises(DataError, match='the row "a" is no JSON'):
        write_jsonl(tmp_path, "train", [labeled("a", meta={"x": object()})])
    with pytest.raises(DataError, match=r'not "\.\./up"'):
        write_jsonl(tmp_path, "../up", [labeled("a")])
    assert not list(tmp_path.glob("*train*"))
    write_jsonl(tmp_path, "train", [labeled("a")])
    with pytest.raises(DataError, match=r"train.jsonl exists; remove it"):
        write_jsonl(tmp_path, "train", [labeled("b")])


def test_rows_without_labels_may_carry_notes(tmp_path: Path) -> None:
    rows = [Prompt("a", "One?"), Prompt("b", "Two?"), LabeledPrompt(Prompt("c", "Three?"), "3", meta={"level": 1})]
    path = write_jsonl(tmp_path, "train", rows, meta={"a": {"source": "x"}, "c": {"never": "written"}})
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("meta") for row in written] == [{"source": "x"}, None, {"level": 1}]
    assert "meta" not in written[1] and "answer" not in written[0]
