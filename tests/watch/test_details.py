"""One group in full: where its answers stand, what is cut and can be had whole, and only its own pictures."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mmupt.errors import DataError
from mmupt.runtime.groups import SCHEMA
from mmupt.runtime.parquet import write_table
from mmupt.watch.details import LONGEST, PICTURE_SIZE, answer_mode, group_detail, group_picture


def units(text: str, start: int, end: int) -> str:
    """The part of `text` that a browser means: counted in UTF-16 units."""
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")


def test_answers_are_marked_where_they_stand(tmp_path: Path, made: SimpleNamespace) -> None:
    texts = ["😀 first \\boxed{3}, no: \\boxed{4}.", "\\boxed{5} but the row says 9", "nothing", "é \\boxed{4}"]
    write_table(tmp_path / "a", [made.row("p", ["4", "9", None, "4"], responses=texts)], SCHEMA)
    found = group_detail(tmp_path / "a", 0, "boxed")
    responses = found["responses"]
    assert [units(texts[i], *responses[i]["span"]) for i in (0, 3)] == ["\\boxed{4}", "\\boxed{4}"]
    assert responses[1]["span"] is None and responses[2]["span"] is None
    assert [r["cluster"] for r in responses] == [0, 1, None, 0]
    assert [(c["answer"]["text"], c["count"], c["won"]) for c in found["clusters"]] == [("4", 2, True), ("9", 1, False)]
    assert group_detail(tmp_path / "a", 0, "tag:answer")["responses"][0]["span"] is None  # another mode finds none


def test_long_texts_are_cut_unless_all_is_asked_for(tmp_path: Path, made: SimpleNamespace) -> None:
    long = "x" * 10**6 + "\\boxed{4}"
    write_table(tmp_path / "a", [made.row("p", ["4"], responses=[long], question=long)], SCHEMA)
    cut, whole = group_detail(tmp_path / "a", 0, "boxed"), group_detail(tmp_path / "a", 0, "boxed", whole=True)
    assert cut["responses"][0]["text"] == "x" * LONGEST and cut["question"]["length"] == len(long)
    assert cut["responses"][0]["span"] is None
    assert whole["responses"][0]["text"] == long and whole["responses"][0]["span"] == (10**6, 10**6 + 9)


def test_pictures_are_made_anew_and_only_those_of_the_row(tmp_path: Path, made: SimpleNamespace) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 500), "red").save(buffer, "JPEG", comment=b"<script>")
    (tmp_path / "by path.jpg").write_bytes(buffer.getvalue())
    (tmp_path / "secret.txt").write_text("secret")
    images = [
        {"path": str(tmp_path / "by path.jpg"), "bytes": None}, {"path": None, "bytes": buffer.getvalue()},
        {"path": str(tmp_path / "secret.txt"), "bytes": None}, {"path": "gone/9.png", "bytes": None},
    ]  # fmt: skip
    write_table(tmp_path / "a", [made.row("p", ["4"], images=images)], SCHEMA)
    for number in (0, 1):
        with Image.open(io.BytesIO(group_picture(tmp_path / "a", 0, number))) as image:
            assert (image.format, image.size, image.info) == ("PNG", (PICTURE_SIZE, PICTURE_SIZE // 4), {})
    with pytest.raises(DataError, match="not a picture"):
        group_picture(tmp_path / "a", 0, 2)
    with pytest.raises(DataError, match=r"gone/9.png does not exist"):
        group_picture(tmp_path / "a", 0, 3)
    for outside in ((0, 4), (0, -1), (1, 0), (-1, 0)):
        with pytest.raises(IndexError):
            group_picture(tmp_path / "a", *outside)
    assert group_detail(tmp_path / "a", 0, "boxed")["pictures"][3] == "gone/9.png"


@pytest.mark.parametrize(
    ("settings", "mode"),
    [({}, "boxed"), ({"answers": {"extract": "lenient"}}, "lenient"), ({"answers": {"extract": "tag:a"}}, "tag:a"),
     ({"answers": {"extract": "tag:"}}, "boxed"), ({"answers": {"extract": 3}}, "boxed"), ({"answers": []}, "boxed")],
)  # fmt: skip
def test_how_a_stage_reads_answers(settings: dict[str, object], mode: str) -> None:
    assert answer_mode(settings) == mode
