"""What the doctor finds in data: each fault once, and nothing in rows that are fine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmupt.answers.settings import AnswerSettings
from mmupt.doctor.case import Case
from mmupt.doctor.examine import CHECKS
from mmupt.doctor.finding import Finding
from mmupt.doctor.labels import labels, matches_itself
from mmupt.doctor.leaks import leaks
from mmupt.doctor.lengths import lengths
from mmupt.doctor.rows import rows
from mmupt.types import LabeledPrompt, Prompt

Make = Callable[..., Case]
DATA = (rows, lengths, labels, leaks)


def wrong(case: Case, *checks: Any) -> list[Finding]:
    return [f for check in (checks or DATA) for f in check(case) if f.level != "ok"]


def test_good_rows_are_left_alone(make_case: Make) -> None:
    case = make_case()
    assert wrong(case) == []
    assert [f.text for f in leaks(case)] == ["stages.learn and evaluation.data share no picture and no question"]
    assert set(DATA) <= set(CHECKS)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda r: r[1].pop("question"), "train.jsonl:2"),
        (lambda r: r[1].update(question=" "), "the question is missing or empty"),
        (lambda r: r[1].update(images=["gone.png"]), "gone.png does not exist"),
        (lambda r: r[1].update(answer=""), "the answer is missing or empty"),
    ],
)
@pytest.mark.parametrize("bad_rows", ["stop", "skip"])
def test_rows_that_cannot_be_used(make_case: Make, spoil: Any, told: str, bad_rows: str) -> None:
    (found,) = wrong(make_case(spoil, data={"bad_rows": bad_rows}))
    assert told in found.text and found.rows[0].endswith("train.jsonl:2")
    assert found.level == ("error" if bad_rows == "stop" else "warning")


def test_a_damaged_picture(make_case: Make, tmp_path: Path) -> None:
    def cut(found: list[dict[str, Any]]) -> None:
        file = tmp_path / "train-3.png"
        file.write_bytes(file.read_bytes()[:200])

    (found,) = wrong(make_case(cut))
    assert found.level == "error" and "train-3.png is damaged" in found.text


def test_a_source_that_is_not_there_and_one_that_is_too_small(make_case: Make, tmp_path: Path) -> None:
    found = wrong(make_case(data={"path": str(tmp_path / "none.jsonl")}))
    assert [f.level for f in found] == ["error"] and "none.jsonl" in found[0].text
    (found_two,) = wrong(make_case(lambda r: r.__delitem__(slice(2, None))))
    assert "prompts_per_step is 4, but only 2 rows" in found_two.text


def test_rows_that_ask_the_same(make_case: Make) -> None:
    def again(found: list[dict[str, Any]]) -> None:
        found[4].update(question="<image>how many  SHAPES of kind 0?", images=["copy.png"])
        found[5].update(question=found[0]["question"])  # of another picture: another question

    case = make_case(again)
    folder = Path(case.recipe.run_dir).parent  # type: ignore[union-attr,arg-type]
    (folder / "copy.png").write_bytes((folder / "train-0.png").read_bytes())
    (found,) = wrong(make_case(again))
    assert found.level == "warning" and found.rows == ("train-0", "train-4")


def test_gold_answers_that_nothing_can_match(make_case: Make) -> None:
    def odd(found: list[dict[str, Any]]) -> None:
        found[0]["answer"] = "}{"
        found[1]["answer"] = "$x = \\frac{1}{2}$"
        found[2].update(answer="C", choices=["1", "2"])
        found[3].update(answer="B", choices=["1", "2"])
        found[4]["answer"] = "the area is 3 cm"

    found = wrong(make_case(odd), labels)
    assert [f.rows for f in found] == [("train-0",), ("train-2",)]
    assert "cannot be read back" in found[0].text and "none of their question's choices" in found[1].text


@pytest.mark.parametrize("extract", ["boxed", "lenient", "tag:answer"])
def test_ordinary_answers_match_themselves(extract: str) -> None:
    settings = AnswerSettings(extract=extract)
    for answer in ("12", "1/2", "\\frac{3}{4}", "45 km", "\\{1, 2\\}", "(3, -4)", "yes", "red", "x > 5", "$5", "50\\%"):
        assert matches_itself(LabeledPrompt(Prompt("q", "?"), answer), settings), answer


def test_a_label_free_stage_has_no_labels_to_look_at(make_case: Make) -> None:
    case = make_case(lambda r: [row.update(answer={"odd": 1}) for row in r], kind="upt")
    assert wrong(case, rows, labels) == []
    assert case.sources[0].answers is None and all(isinstance(row, Prompt) for row in case.sources[0].rows)


class TestLeaks:
    def test_the_same_picture_in_another_file(self, make_case: Make, tmp_path: Path) -> None:
        def copy(found: list[dict[str, Any]]) -> None:
            Image.open(tmp_path / "train-2.png").save(tmp_path / "copy.bmp")
            found[3]["images"] = ["copy.bmp"]

        (found,) = wrong(make_case(test=copy))
        assert (
            found.rows == ("train-2", "test-3") and "show a picture that is trained on (train-2 = test-3)" in found.text
        )

    def test_nearly_the_same(self, make_case: Make, tmp_path: Path) -> None:
        def smaller(found: list[dict[str, Any]]) -> None:
            Image.open(tmp_path / "train-1.png").resize((70, 70)).save(tmp_path / "small.jpg", quality=70)
            found[0]["images"] = ["small.jpg"]

        (found,) = wrong(make_case(test=smaller))
        assert found.rows == ("train-1", "test-0") and "nearly a picture" in found.text

    def test_the_same_words_without_a_picture(self, make_case: Make) -> None:
        def text(found: list[dict[str, Any]]) -> None:
            found[5].update(question="What is 2 + 2?", images=[])

        (found,) = wrong(make_case(text, text))
        assert found.rows == ("train-5", "test-5") and "word for word" in found.text


class TestLengths:
    @pytest.fixture
    def with_model(self, make_case: Make, tiny_folder: Path) -> Make:
        return lambda *a, **k: make_case(*a, **k, model={"path": str(tiny_folder)})

    def test_long_prompts(self, with_model: Make) -> None:
        def long(found: list[dict[str, Any]]) -> None:
            found[2]["question"] += " Add all dice." * 900

        (found,) = wrong(with_model(long), lengths)
        assert (found.level, found.rows) == ("error", ("train-2",)) and "prompt.max_tokens = 2048" in found.text
        (found,) = wrong(with_model(long, prompt={"too_long": "skip"}), lengths)
        assert found.level == "warning"

    def test_reserved_tokens_and_small_pictures(self, with_model: Make) -> None:
        def odd(found: list[dict[str, Any]]) -> None:
            found[1]["question"] += " <|image_pad|>"

        found = wrong(
            with_model(odd, prompt={"min_pixels": 500_000, "max_pixels": 600_000, "max_tokens": 4096}), lengths
        )
        assert [f.level for f in found] == ["error", "warning", "warning"]
        assert found[0].rows == ("train-1",) and "scaled up" in found[1].text


def test_findings_are_json(make_case: Make) -> None:
    found = wrong(make_case(lambda r: r[1].pop("question")))
    assert json.loads(json.dumps([f.as_json() for f in found]))[0]["level"] == "error"
