"""The real data sets, where this checkout has them beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmupt.data.dataset import load_labeled, load_prompts
from mmupt.data.images import open_image
from mmupt.data.questions import render_question
from mmupt.data.settings import DataSettings, PromptSettings
from mmupt.data.writer import write_jsonl
from mmupt.errors import DataError

SETS = [
    ("tabmwp", "train", 1000),
    ("puzzlevqa", "test", 100),
    ("mathvision", "testmini", 304),
    ("wemath", "testmini_sample", 300),
]


@pytest.mark.parametrize(("name", "split", "size"), SETS)
def test_every_row_can_be_used(shared_data: Path, name: str, split: str, size: int) -> None:
    settings = DataSettings(path=str(shared_data / name), split=split, placeholders="prepend")
    labeled, prompts = load_labeled(settings), load_prompts(settings)
    assert len(labeled.rows) == size
    assert labeled.skipped == ()
    assert tuple(row.prompt for row in labeled.rows) == prompts.rows
    for prompt in prompts.rows:
        assert prompt.question.count("<image>") == len(prompt.images) == 1
        assert "<image1>" not in str(render_question(prompt, PromptSettings()))


def test_require_says_that_pictures_have_no_place(shared_data: Path) -> None:
    with pytest.raises(DataError, match=r'train\.jsonl:1: question: .*set data\.placeholders = "prepend"'):
        load_prompts(DataSettings(path=str(shared_data / "tabmwp"), limit=3))


def test_written_again_they_are_the_same(shared_data: Path, tmp_path: Path) -> None:
    settings = DataSettings(path=str(shared_data / "puzzlevqa"), split="test", placeholders="prepend", limit=25)
    before = load_labeled(settings).rows
    write_jsonl(tmp_path, "test", before)
    after = load_labeled(DataSettings(path=str(tmp_path), split="test")).rows
    for a, b in zip(before, after, strict=True):
        assert (a.prompt.question, a.answer, a.meta) == (b.prompt.question, b.answer, b.meta)
        assert np.array_equal(np.asarray(open_image(a.prompt.images[0])), np.asarray(open_image(b.prompt.images[0])))
