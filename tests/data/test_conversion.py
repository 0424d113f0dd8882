"""Rows of another layout, converted before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mmupt.data.columns import RowProblem
from mmupt.data.dataset import Conversion, load_labeled
from mmupt.errors import DataError


def test_a_conversion_is_given_its_columns_and_no_others(folder: Any) -> None:
    seen: list[set[str]] = []

    def convert(values: Mapping[str, object]) -> Mapping[str, object]:
        seen.append(set(values))
        return {"question": values["problem"], "answer": values["answer"]}

    settings = folder.jsonl([{"problem": "1+1?", "answer": "2", "secret": "x"}])
    (row,) = load_labeled(settings, conversion=Conversion(frozenset({"problem"}), convert)).rows
    assert seen == [{"problem", "answer"}]
    assert (row.prompt.id, row.prompt.question, row.answer) == ("train-1", "1+1?", "2")


def test_a_conversion_may_find_a_row_bad(folder: Any) -> None:
    def convert(values: Mapping[str, object]) -> Mapping[str, object]:
        if values.get("kind") != "asked":
            raise RowProblem("kind", "is unknown; leave the row out")
        return values

    settings = folder.jsonl([folder.good(1, kind="asked"), folder.good(2)])
    conversion = Conversion(frozenset({"kind"}), convert)
    with pytest.raises(DataError, match=r"train\.jsonl:2: kind: is unknown"):
        load_labeled(settings, conversion=conversion)
    loaded = load_labeled(settings.model_copy(update={"bad_rows": "skip"}), conversion=conversion)
    assert [row.prompt.id for row in loaded.rows] == ["q-1"]
    assert [row.where.rpartition(":")[2] for row in loaded.skipped] == ["2"]
