"""Every benchmark: a made-up row in its authors' layout becomes the expected row, and broken ones say what is wrong.

Rows go through a Parquet file with pictures as struct{bytes, path}, as `datasets` hands them out undecoded.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from mmupt.data.dataset import DataSet
from mmupt.errors import DataError
from mmupt.evals.benchmarks import BENCHMARKS
from mmupt.evals.benchmarks.loading import Selection, load_benchmark
from mmupt.types import LabeledPrompt


def picture(name: str | None = None, red: int = 9) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (red, 20, 30)).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": name}


def load(folder: Path, name: str, *rows: dict[str, Any], **options: Any) -> DataSet[LabeledPrompt]:
    file = folder / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(list(rows)), file)
    return load_benchmark(Selection(BENCHMARKS[name], str(file)), **options)


SOURCES: dict[str, dict[str, Any]] = {
    "mathvision": {
        "id": "17",
        "question": "Which is larger?\n<image1>",
        "options": ["3", "4"],
        "image": "images/17.jpg",
        "decoded_image": picture(),
        "answer": "B",
        "solution": None,
        "level": 2,
        "subject": "counting",
    },
    "mathvista": {
        "pid": "5",
        "question": "How heavy is it?",
        "image": "images/5.jpg",
        "decoded_image": picture(),
        "choices": None,
        "unit": "kg",
        "precision": 1.0,
        "answer": "1.2",
        "question_type": "free_form",
        "answer_type": "float",
        "metadata": {"task": "math word problem", "grade": "college", "skills": ["algebra", "geometry"], "split": "x"},
        "query": "never read",
    },
    "mathverse": {
        "sample_index": "3",
        "problem_index": "1",
        "problem_version": "Text Lite",
        "question": "Find angle A.\nChoices:\nA:65°\nB:70°\nC:75°",
        "image": picture(),
        "answer": "B",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "made", "subject": "Plane Geometry", "subfield": "Angle"},
        "query_wo": "never read",
        "query_cot": "never read",
        "question_for_eval": "Find angle A.\nChoices:\nA:65°\nB:70°\nC:75°",
    },
    "wemath": {
        "ID": "3steps_7",
        "split": "testmini",
        "knowledge concept": "Area of Circles;Units",
        "question": "The area is ( )",
        "option": "A. 3;B. 4; C. none; not given",
        "answer": "C",
        "image_path": picture(),
        "key": "3steps_multi",
        "question number": 12,
        "knowledge concept description": "never read",
    },
    "chartqa": {"image": picture(), "query": "How many in 2019?", "label": ["14"], "human_or_machine": 1},
    "iconqa": {
        "question_id": "88",
        "question": "What comes next?",
        "choices": "cup,ball",
        "answer": "ball",
        "query_image": picture(),
        "choice_image_0": None,
        "choice_image_1": None,
        "ques_type": "choose_txt",
        "label": "S2",
        "grade": "prek",
        "skills": "pattern,comparing",
    },
    "tabmwp": {
        "id": "33",
        "question": "How much is it?",
        "choices": None,
        "answer": "1,250",
        "unit": "$",
        "table_title": "Prices",
        "table": "a | 1",
        "ques_type": "free_text",
        "ans_type": "integer_number",
        "grade": 4,
        "solution": "Add.",
        "image": picture(),
    },
    "geometry3k": {"images": [picture(), picture(red=7)], "problem": "<image><image>Find x.", "answer": "12"},
    "geoqa": {"image": picture(), "problem": "Find the angle.", "solution": "<answer> 145° </answer>"},
    "puzzlevqa": {
        "image": picture("images/venn_0007.png"),
        "question": "What is missing?",
        "options": ["4", "5", "A"],
        "answer": "A",
        "caption": "the answer is A",
    },
    "math": {
        "problem": "What is $1+1$?",
        "solution": "It is $\\boxed{2}$.",
        "answer": "2",
        "subject": "Prealgebra",
        "level": 1,
        "unique_id": "test/prealgebra/1.json",
    },
    "omni_math": {
        "domain": ["Mathematics -> Algebra -> Groups", "Mathematics -> Algebra", "Mathematics"],
        "difficulty": 4.5,
        "problem": "Find all $x$.",
        "solution": "None.",
        "answer": "0",
        "source": "made",
    },
}

EXPECTED: dict[str, dict[str, Any]] = {
    "mathvision": {
        "id": "mathvision-17",
        "question": "<image>Which is larger?\nimage 1",
        "choices": ("3", "4"),
        "answer": "B",
        "meta": {"level": 2, "subject": "counting", "answer_kind": "letter"},
    },
    "mathvista": {
        "id": "mathvista-5",
        "question": "<image>How heavy is it? (Unit: kg)\nThe answer is a number with one decimal place.",
        "answer": "1.2",
        "unit": "kg",
        "meta": {
            "question_type": "free_form",
            "answer_type": "float",
            "task": "math word problem",
            "grade": "college",
            "skills": ["algebra", "geometry"],
            "precision": 1,
            "answer_kind": "free",
        },
    },
    "mathverse": {
        "id": "mathverse-3",
        "question": "<image>Find angle A.",
        "choices": ("65°", "70°", "75°"),
        "answer": "B",
        "meta": {
            "problem_version": "Text Lite",
            "problem_index": "1",
            "question_type": "multi-choice",
            "subject": "Plane Geometry",
            "subfield": "Angle",
            "source": "made",
            "answer_kind": "letter",
        },
    },
    "wemath": {
        "id": "wemath-3steps_7-multi",
        "question": "<image>The area is ( )",
        "choices": ("3", "4", "none; not given"),
        "answer": "C",
        "meta": {
            "problem": "3steps_7",
            "key": "3steps_multi",
            "knowledge_concept": ["Area of Circles", "Units"],
            "answer_kind": "letter",
        },
    },
    "chartqa": {
        "id": "rows-1",
        "question": "<image>How many in 2019?",
        "answer": "14",
        "meta": {"origin": "machine", "answer_kind": "free"},
    },
    "iconqa": {
        "id": "iconqa-88",
        "question": "<image>What comes next?",
        "choices": ("cup", "ball"),
        "answer": "B",
        "meta": {
            "ques_type": "choose_txt",
            "grade": "prek",
            "skills": ["pattern", "comparing"],
            "answer_kind": "letter",
        },
    },
    "tabmwp": {
        "id": "tabmwp-33",
        "question": "<image>How much is it? (Unit: $)",
        "answer": "1,250",
        "unit": "$",
        "solution": "Add.",
        "meta": {
            "ques_type": "free_text",
            "grade": 4,
            "table_title": "Prices",
            "table": "a | 1",
            "answer_kind": "free",
            "ans_type": "integer_number",
        },
    },
    "geometry3k": {
        "id": "rows-1",
        "question": "<image><image>Find x.",
        "answer": "12",
        "meta": {"answer_kind": "free"},
    },
    "geoqa": {"id": "rows-1", "question": "<image>Find the angle.", "answer": "145°", "meta": {"answer_kind": "free"}},
    "puzzlevqa": {
        "id": "puzzlevqa-venn_0007",
        "question": "<image>What is missing?",
        "choices": ("4", "5", "A"),
        "answer": "C",  # the option "A" is not option A
        "meta": {"template": "venn", "answer_kind": "letter"},
    },
    "math": {
        "id": "math-test/prealgebra/1.json",
        "question": "What is $1+1$?",
        "answer": "2",
        "solution": "It is $\\boxed{2}$.",
        "meta": {"subject": "Prealgebra", "level": 1, "answer_kind": "free"},
    },
    "omni_math": {
        "id": "rows-1",
        "question": "Find all $x$.",
        "answer": "0",
        "solution": "None.",
        "meta": {"domain": ["Algebra", "Mathematics"], "difficulty": 4.5, "source": "made", "answer_kind": "free"},
    },
}

BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("mathvision", {"answer": "E"}, r'answer: is "E", which names none of the 2 options'),
    ("mathvision", {"decoded_image": None, "image": None}, "decoded_image: holds no picture"),
    ("mathvista", {"precision": 1.5}, "precision: is 1.5; a number of decimals"),
    ("mathvista", {"choices": ["1", "2"]}, 'answer: is "1.2", which is none of the 2 options'),
    ("mathverse", {"question": "Which?", "question_for_eval": "Which?"}, "question_for_eval: names no options"),
    ("mathverse", {"image": None}, "image: holds no picture"),
    ("wemath", {"key": "2steps_3"}, r'key: is "2steps_3"; 2steps_1, 2steps_2'),
    ("wemath", {"option": "unknown"}, r'answer: is "C", which names none of the 0 options'),
    ("chartqa", {"label": ["1", "2"]}, "label: holds 2 answers; exactly one"),
    ("chartqa", {"human_or_machine": 7}, r"human_or_machine: holds a int \(7\); 0 \(human\)"),
    ("iconqa", {"ques_type": "guess"}, 'ques_type: is "guess"; choose_img'),
    ("iconqa", {"answer": "dog"}, 'answer: is "dog", which is none of the 2 options'),
    ("tabmwp", {"answer": None}, "answer: is missing or empty"),
    ("geometry3k", {"images": []}, "images: holds no picture"),
    ("geometry3k", {"problem": "<image>Find x."}, "question: holds 1 <image> for 2 pictures"),
    ("geoqa", {"solution": "145°"}, "solution: holds no <answer>"),
    ("puzzlevqa", {"answer": "6"}, 'answer: is "6", which is none of the 3 options'),
    ("math", {"problem": " "}, "problem: is missing or empty"),
    ("omni_math", {"answer": ""}, "answer: is missing or empty"),
]


def test_every_benchmark_is_here() -> None:
    assert list(BENCHMARKS) == list(SOURCES) == list(EXPECTED)
    assert {name for name, *_ in BROKEN} == set(BENCHMARKS)
    assert all(name == benchmark.name for name, benchmark in BENCHMARKS.items())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_authors_layout_becomes_ours(tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, name, SOURCES[name])
    (row,) = loaded.rows
    expected = {"choices": None, "unit": None, "solution": None} | EXPECTED[name]
    assert row.prompt.id == expected["id"]
    assert row.prompt.question == expected["question"]
    assert row.prompt.choices == expected["choices"]
    assert (row.answer, row.unit, row.solution) == (expected["answer"], expected["unit"], expected["solution"])
    assert dict(row.meta) == expected["meta"]
    assert row.prompt.question.count("<image>") == len(row.prompt.images)
    assert all(image.data is not None for image in row.prompt.images)
    text_only = {"math", "omni_math"}
    assert bool(row.prompt.images) == (name not in text_only)


@pytest.mark.parametrize(("name", "change", "message"), BROKEN)
def test_a_broken_row_says_what_is_wrong(tmp_path: Path, name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        load(tmp_path, name, SOURCES[name] | change, bad_rows="stop")
    assert "rows.parquet:1: " in str(error.value)


def test_breakdowns_are_keys_that_conversion_fills(tmp_path: Path) -> None:
    full = {"mathvista": {"source", "category", "context", "language"}}  # not in the made-up row
    for name, benchmark in BENCHMARKS.items():
        (row,) = load(tmp_path, name, SOURCES[name]).rows
        assert set(benchmark.breakdowns) - set(row.meta) == full.get(name, set())


def test_the_authors_jsonl_of_mathvision_names_its_picture(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "17.jpg").write_bytes(picture()["bytes"])
    row = {k: v for k, v in SOURCES["mathvision"].items() if k != "decoded_image"} | {"options": [], "answer": "4"}
    (loaded,) = load(tmp_path, "mathvision", row).rows
    assert loaded.prompt.images[0].path == str(tmp_path / "images" / "17.jpg")
    assert (loaded.prompt.choices, loaded.answer, loaded.meta["answer_kind"]) == (None, "4", "free")


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        ({"answer_type": "integer", "answer": "3", "unit": None}, "?\nThe answer is a whole number."),
        ({"answer_type": "list", "answer": "[1, 2]", "unit": None}, "?\nThe answer is a list, such as [1, 2, 3]."),
        ({"precision": 2.0, "unit": None}, "?\nThe answer is a number with two decimal places."),
        (
            {"question_type": "multi_choice", "answer_type": "text", "choices": ["1.2", "3"], "precision": None},
            "? (Unit: kg)",
        ),
    ],
)
def test_mathvista_says_what_kind_of_answer_it_wants(tmp_path: Path, change: dict[str, Any], ending: str) -> None:
    (row,) = load(tmp_path, "mathvista", SOURCES["mathvista"] | change).rows
    assert row.prompt.question == f"<image>How heavy is it{ending}"
    assert ("precision" in row.meta) == (row.meta["answer_type"] == "float")


def test_mathverse_vision_only_offers_letters(tmp_path: Path) -> None:
    change = {"question": "", "problem_version": "Vision Only"}
    (row,) = load(tmp_path, "mathverse", SOURCES["mathverse"] | change).rows
    assert row.prompt.choices == ("A", "B", "C")
    assert "65" not in row.prompt.question and len(row.prompt.question) > len("<image>")


def test_wemath_options_that_do_not_split_stay_in_the_question(tmp_path: Path) -> None:
    (row,) = load(tmp_path, "wemath", SOURCES["wemath"] | {"option": "A. 3;B. 4 C. 5"}).rows
    assert row.prompt.question.endswith("A. 3;B. 4 C. 5")
    assert (row.prompt.choices, row.answer) == (("A", "B", "C"), "C")


def test_iconqa_options_that_are_pictures_stand_in_the_question(tmp_path: Path) -> None:
    change = {
        "ques_type": "choose_img",
        "choices": "choice_0.png,choice_1.png",
        "answer": "choice_1.png",
        "choice_image_0": picture(red=1),
        "choice_image_1": picture(red=2),
    }
    good = SOURCES["iconqa"] | change
    (row,) = load(tmp_path, "iconqa", good).rows
    assert row.prompt.question == "<image>What comes next?\n(A) <image>\n(B) <image>"
    assert [image.data for image in row.prompt.images] == [picture(red=red)["bytes"] for red in (9, 1, 2)]
    assert (row.prompt.choices, row.answer) == (("A", "B"), "B")

    lacking = good | {"question_id": "89", "choices": "choice_0.png,choice_1.png,choice_2.png"}
    loaded = load(tmp_path, "iconqa", good, lacking)
    assert len(loaded.rows) == 1, "left out and counted, since the published copy is known for it"
    assert 'names "choice_2.png", a picture that this copy lacks' in loaded.skipped[0].reason


def test_iconqa_fill_in_blank(tmp_path: Path) -> None:
    change = {"ques_type": "fill_in_blank", "choices": None, "answer": "7"}
    (row,) = load(tmp_path, "iconqa", SOURCES["iconqa"] | change).rows
    assert (row.prompt.choices, row.answer, row.meta["answer_kind"]) == (None, "7", "free")


def test_geoqa_in_the_layout_of_the_training_code(tmp_path: Path) -> None:
    row = {"images": [picture()], "problem": "<image>Find x.", "answer": "60"}
    (loaded,) = load(tmp_path, "geoqa", row).rows
    assert (loaded.prompt.question, loaded.answer) == ("<image>Find x.", "60")
