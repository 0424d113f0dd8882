from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmupt.data.dataset import load_labeled, load_prompts
from mmupt.data.images import open_image
from mmupt.data.readers import read_rows
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError


def fails(settings: DataSettings) -> str:
    with pytest.raises(DataError) as caught:
        load_prompts(settings)
    return str(caught.value)


def test_only_newlines_end_a_line(folder) -> None:
    question = "<image>One\u2028two\x85three\x0bfour?"
    settings = folder.jsonl([folder.good(1, question=question), "", "  \t", folder.good(2)])
    rows = load_prompts(settings).rows
    assert [row.question for row in rows] == [question, "<image>What is 2?"]


def test_crlf_and_byte_order_mark(folder) -> None:
    lines = [json.dumps(folder.good(k)) for k in (1, 2)]
    (folder.path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert len(load_prompts(DataSettings(path=str(folder.path))).rows) == 2


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"id": "x", "question": ', "the line is not JSON"),
        ('["a", "list"]', "the line holds a list"),
        ("[" * 100_000, "the line is not JSON"),
    ],
)
def test_a_broken_line_is_named(folder, line: str, wrong: str) -> None:
    settings = folder.jsonl([folder.good(1), "", line])
    message = fails(settings)
    assert f"train.jsonl:3: line: {wrong}" in message
    assert "write one object a line" in message
    skipping = load_prompts(settings.model_copy(update={"bad_rows": "skip"}))
    assert len(skipping.rows) == 1
    assert skipping.skipped[0].where.endswith("train.jsonl:3")


def test_a_line_that_is_not_utf8(folder) -> None:
    settings = folder.jsonl([folder.good(1)])
    with (folder.path / "train.jsonl").open("ab") as file:
        file.write(b'{"question": "\xff"}\n')
    assert "train.jsonl:2: line: the line is not UTF-8" in fails(settings)


def test_limit_takes_the_first_rows_and_reads_no_further(folder) -> None:
    settings = folder.jsonl([folder.good(1), folder.good(2), "broken"]).model_copy(update={"limit": 2})
    assert [row.id for row in load_prompts(settings).rows] == ["q-1", "q-2"]


def test_paths_that_lead_nowhere(folder) -> None:
    folder.jsonl([folder.good(1)], split="test")
    here = str(folder.path)
    (folder.path / "table.csv").write_text("a,b\n")
    assert "does not exist" in fails(DataSettings(path=here + "/none.jsonl"))
    message = fails(DataSettings(path=here))
    assert "holds no train.jsonl or train.parquet; it holds test.jsonl: set data.split" in message
    assert "it holds pictures without questions: `mmupt synth`" in fails(DataSettings(path=here + "/images"))
    (folder.path / "images/1.png").unlink()
    assert "holds no data file at all" in fails(DataSettings(path=here + "/images"))
    assert "is no .jsonl or .parquet file; convert it" in fails(DataSettings(path=here + "/table.csv"))
    pq.write_table(pa.table({"question": ["?"]}), folder.path / "test.parquet")
    assert "both test.jsonl and test.parquet; name one" in fails(DataSettings(path=here, split="test"))


@pytest.mark.parametrize("path", ["world:rl", "s3://bucket/rows.jsonl", "https://example.org/rows.jsonl"])
def test_unknown_schemes(path: str) -> None:
    message = fails(DataSettings(path=path))
    assert f'data.path "{path}"' in message
    assert "hub:ORG/NAME" in message


def test_picture_paths_are_relative_to_the_data_file(folder, monkeypatch, tmp_path: Path) -> None:
    folder.jsonl([folder.good(7)])
    monkeypatch.chdir(tmp_path)
    relative = load_prompts(DataSettings(path="set/train.jsonl")).rows[0]
    monkeypatch.chdir("/")
    assert open_image(relative.images[0]).getpixel((0, 0)) == (7, 0, 0)


def test_parquet_pictures_in_every_form(folder, make_png) -> None:
    folder.good(5)
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    forms: list[tuple[pa.DataType, Any]] = [
        (struct, {"bytes": make_png((5, 0, 0)), "path": "elsewhere.png"}),
        (struct, {"bytes": None, "path": "images/5.png"}),
        (pa.list_(struct), [{"bytes": make_png((5, 0, 0)), "path": None}]),
        (pa.binary(), make_png((5, 0, 0))),
        (pa.list_(pa.binary()), [make_png((5, 0, 0))]),
        (pa.string(), "images/5.png"),
        (pa.list_(pa.string()), ["images/5.png"]),
    ]
    for kind, value in forms:
        table = pa.table({"problem": ["<image>?"], "pic": pa.array([value], kind), "gold": [3.5]})
        pq.write_table(table, folder.path / "val.parquet")
        columns = ColumnSettings(question="problem", images="pic", answer="gold")
        (row,) = load_labeled(DataSettings(path=str(folder.path), split="val", columns=columns)).rows
        assert (row.prompt.id, row.answer) == ("val-1", "3.5")
        assert open_image(row.prompt.images[0]).getpixel((0, 0)) == (5, 0, 0)


def test_parquet_across_batches_and_damage(folder) -> None:
    path = folder.path / "train.parquet"
    pq.write_table(pa.table({"question": [f"{k}?" for k in range(700)]}), path, row_group_size=100)
    rows = load_prompts(DataSettings(path=str(path))).rows
    assert [row.question for row in rows] == [f"{k}?" for k in range(700)]
    assert rows[-1].id == "train-700"
    path.write_bytes(path.read_bytes()[:200])
    message = fails(DataSettings(path=str(path)))
    assert str(path) in message
    assert "cannot be read as Parquet" in message


def test_readers_hand_out_wanted_columns_only(folder) -> None:
    settings = folder.jsonl([folder.good(1)])
    (row,) = read_rows(settings, {"id", "question"})
    assert set(row.values) == {"id", "question"}
    pq.write_table(pa.table({"id": ["a"], "question": ["?"], "answer": ["1"]}), folder.path / "p.parquet")
    (row,) = read_rows(DataSettings(path=str(folder.path / "p.parquet")), {"id", "question"})
    assert set(row.values) == {"id", "question"}


def hub_set(picture: bytes) -> datasets.Dataset:
    features = datasets.Features(
        {"problem": datasets.Value("string"), "image": datasets.Image(), "answer": datasets.Value("int64")}
    )
    rows = {"problem": ["<image>A?", "<image>B?"], "image": [{"bytes": picture, "path": None}] * 2, "answer": [4, 5]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_hub_single_pictures_and_lists(monkeypatch, make_png) -> None:
    asked: list[Any] = []
    single = hub_set(make_png((9, 9, 9)))
    several = datasets.Dataset.from_dict(
        {"problem": ["<image><image>C?"], "image": [[{"bytes": make_png((9, 9, 9)), "path": None}] * 2], "answer": [6]},
        features=datasets.Features(single.features | {"image": datasets.List(datasets.Image())}),
    )

    def load(name: str, subset: str | None, **options: Any) -> datasets.Dataset:
        asked.append((name, subset, options))
        return several if name.endswith("lists") else single

    monkeypatch.setattr(datasets, "load_dataset", load)
    columns = ColumnSettings(question="problem", images="image")
    settings = DataSettings(path="hub:org/geo", split="test", subset="easy", revision="abc", columns=columns)
    data = load_labeled(settings)
    assert asked == [("org/geo", "easy", {"split": "test", "revision": "abc"})]
    assert [(row.prompt.id, row.answer) for row in data.rows] == [("geo-1", "4"), ("geo-2", "5")]
    assert open_image(data.rows[0].prompt.images[0]).getpixel((0, 0)) == (9, 9, 9)
    assert data.source == "hub:org/geo[test]"
    (row,) = load_prompts(DataSettings(path="hub:org/lists", columns=columns)).rows
    assert len(row.images) == 2


def test_hub_pictures_as_pil(monkeypatch) -> None:
    class Decoded(list):
        """Stands for a data set whose column was decoded by somebody else."""

        column_names = ("question", "images")
        features: ClassVar[dict[str, Any]] = {}

        def select_columns(self, names):
            return self

    rows = Decoded([{"question": "<image>?", "images": Image.new("RGB", (4, 4), (1, 2, 3))}])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    (prompt,) = load_prompts(DataSettings(path="hub:org/pil")).rows
    assert open_image(prompt.images[0]).getpixel((0, 0)) == (1, 2, 3)


def test_hub_out_of_reach(monkeypatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'org/geo' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    message = fails(DataSettings(path="hub:org/geo", subset="easy"))
    assert 'data.path "hub:org/geo" (split train, subset easy) could not be loaded: Couldn\'t reach' in message
    assert "to_parquet and set data.path to that file" in message
    assert "write hub:ORG/NAME" in fails(DataSettings(path="hub:nothing at all"))


def test_hub_really_offline(monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    message = fails(DataSettings(path="hub:no-such-org/no-such-set"))
    assert 'data.path "hub:no-such-org/no-such-set" (split train) could not be loaded' in message
