"""Selections, mmupt's own format, real files, and what a guesser would get."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from mmupt.answers.equivalence import grade
from mmupt.errors import ConfigError, DataError
from mmupt.evals.benchmarks import BENCHMARKS
from mmupt.evals.benchmarks.fields import count_letters, lettered_options
from mmupt.evals.benchmarks.loading import Selection, load_benchmark, parse_selection


def test_selections_keep_their_order_and_paths() -> None:
    selections = parse_selection("mathvision, wemath=data/wemath.jsonl,math=hub:ORG/NAME")
    assert [(s.benchmark.name, s.path) for s in selections] == [
        ("mathvision", None),
        ("wemath", "data/wemath.jsonl"),
        ("math", "hub:ORG/NAME"),
    ]
    assert parse_selection("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mathvison", 'no benchmark "mathvison"; did you mean mathvision'),
        ("zzz", "known are mathvision, mathvista, mathverse, wemath, chartqa, iconqa, tabmwp"),
        ("math,math=a.jsonl", '"math" is named twice'),
        ("wemath=", "write wemath=PATH, or wemath alone"),
        ("tabmwp", "write tabmwp=PATH"),
    ],
)
def test_wrong_selections(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_selection(text)


def test_all_faults_of_a_selection_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse_selection("mathvison,geoqa,geoqa,tabmwp")
    assert len(error.value.problems) == 3


def _jsonl(file: Path, *rows: dict[str, Any]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_a_file_may_hold_both_layouts(tmp_path: Path) -> None:
    own = {"id": "mine", "question": "What is 2+2?", "answer": "4", "meta": {"level": 5}}
    theirs = {"unique_id": "x", "problem": "What is 1+1?", "answer": "2", "subject": "Algebra"}
    path = _jsonl(tmp_path / "math.jsonl", own, theirs)
    rows = load_benchmark(Selection(BENCHMARKS["math"], path)).rows
    assert [(row.prompt.id, row.answer, dict(row.meta)) for row in rows] == [
        ("mine", "4", {"level": 5}),
        ("math-x", "2", {"subject": "Algebra", "answer_kind": "free"}),
    ]
    assert len(load_benchmark(Selection(BENCHMARKS["math"], path), limit=1).rows) == 1


def test_a_folder_is_read_by_the_benchmarks_split(tmp_path: Path) -> None:
    _jsonl(tmp_path / "test.jsonl", {"problem": "1+1?", "answer": "2"})
    _jsonl(tmp_path / "train.jsonl", {"problem": "never read", "answer": "2"})
    (row,) = load_benchmark(Selection(BENCHMARKS["math"], str(tmp_path))).rows
    assert row.prompt.question == "1+1?"


def test_a_row_in_neither_layout(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "rows.jsonl", {"query": "1+1?", "answer": "2"})
    with pytest.raises(DataError, match=r"rows\.jsonl:1: question: is absent, and the row is not in MATH's own") as e:
        load_benchmark(Selection(BENCHMARKS["math"], path))
    assert "which has problem too" in str(e.value)
    assert "data.bad_rows" not in str(e.value), "a benchmark has no such setting"


def test_bad_rows_can_be_skipped(tmp_path: Path) -> None:
    unanswered = {"problem": "2+2?", "answer": None}
    path = _jsonl(tmp_path / "rows.jsonl", {"problem": "1+1?", "answer": "2"}, unanswered)
    selection = Selection(BENCHMARKS["math"], path)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: answer: is missing"):
        load_benchmark(selection)
    loaded = load_benchmark(selection, bad_rows="skip")
    assert (len(loaded.rows), len(loaded.skipped)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [
        ("mathvision", "testmini.jsonl", 304),
        ("wemath", "testmini_sample.jsonl", 300),
        ("tabmwp", "test.jsonl", 500),
        ("puzzlevqa", "test.jsonl", 100),
    ],
)
def test_real_files_in_our_format(shared_data: Path, name: str, file: str, size: int) -> None:
    (selection,) = parse_selection(f"{name}={shared_data / name / file}")
    loaded = load_benchmark(selection)
    assert (len(loaded.rows), loaded.skipped) == (size, ())
    assert all(len(row.prompt.images) == 1 for row in loaded.rows)
    assert any(key in loaded.rows[0].meta for key in selection.benchmark.breakdowns)


def test_real_option_texts_split_as_they_should(shared_data: Path) -> None:
    lines = (shared_data / "wemath" / "testmini_sample.jsonl").read_text(encoding="utf-8").split("\n")
    for row in (json.loads(line) for line in lines if line):
        assert lettered_options(row["meta"]["option_text"]) == tuple(row["choices"])
        assert count_letters(row["meta"]["option_text"]) == len(row["choices"])


@pytest.mark.parametrize("written", ["", "4; 5", "A. 4", "B. 4;C. 5", "A. 4;B. 5 C. 6", "A. ;B. 5"])
def test_doubtful_options_do_not_split(written: str) -> None:
    assert lettered_options(written) is None


def test_options_may_hold_semicolons_and_letters() -> None:
    assert lettered_options("A. 1; 2;B. Point A; C: 3") == ("1; 2", "Point A", "3")
    assert lettered_options("A:65°\nB:70°") == ("65°", "70°")


def _expected_right(choices: tuple[str, ...], gold: str) -> float:
    """The chance of a guesser who names a letter, each with the same probability, by mmupt's own grader."""
    return sum(grade("ABCDEFGH"[i], gold, choices=choices) for i in range(len(choices))) / len(choices)


def test_a_random_guesser_on_mathvision_testmini(shared_data: Path) -> None:
    (selection,) = parse_selection(f"mathvision={shared_data / 'mathvision' / 'testmini.jsonl'}")
    rows = [row for row in load_benchmark(selection).rows if row.prompt.choices]
    expected = sum(_expected_right(row.prompt.choices or (), row.answer) for row in rows)
    assert expected == pytest.approx(sum(1 / len(row.prompt.choices or ()) for row in rows))
    assert expected == pytest.approx(190 / 5)


def test_a_random_guesser_on_all_of_mathvision(shared_data: Path) -> None:
    """1532 of the 3040 questions have five options, so the expected accuracy is 1532/5/3040."""
    file = shared_data / "responses" / "mathvision_InternLM_XComposer2_VL_CoT.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    expected = sum(_expected_right(tuple(row["choices"]), row["answer"]) for row in rows if row["choices"])
    assert len(rows) == 3040
    assert expected / len(rows) == pytest.approx(1532 / 5 / 3040)


def test_the_hub_is_asked_for_the_right_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures arrive as `datasets` keeps them, classes as numbers; only the wanted columns are handed out."""
    image = Image.new("RGB", (8, 6), (1, 2, 3))
    features = datasets.Features(
        image=datasets.Image(),
        query=datasets.Value("string"),
        label=datasets.List(datasets.Value("string")),
        human_or_machine=datasets.ClassLabel(names=["human", "machine"]),
    )
    row = {"image": image, "query": "How many?", "label": ["14"], "human_or_machine": 0}
    published = datasets.Dataset.from_list([row], features=features)
    asked: list[Any] = []

    def load_dataset(name: str, subset: str | None, *, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((name, subset, split, revision))
        return published

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (loaded,) = load_benchmark(Selection(BENCHMARKS["chartqa"])).rows
    assert (loaded.prompt.id, loaded.answer, loaded.meta["origin"]) == ("ChartQA-1", "14", "human")
    assert loaded.prompt.images[0].data is not None
    for path in (None, "hub:mine/MathVerse"):
        with pytest.raises(DataError, match="not in MathVerse's own layout"):
            load_benchmark(Selection(BENCHMARKS["mathverse"], path))
    assert asked == [
        ("HuggingFaceM4/ChartQA", None, "test", None),
        ("AI4Math/MathVerse", "testmini", "testmini", None),
        ("mine/MathVerse", "testmini", "testmini", None),
    ]


def test_importing_benchmarks_needs_no_torch() -> None:
    code = "import sys, mmupt.evals.benchmarks.loading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
