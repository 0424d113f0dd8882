"""What the world says of written questions: candidates made by hand, whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmupt.errors import RunFolderError
from mmupt.recipe import Recipe, load_recipe
from mmupt.reproduce.written import Asked, asked
from mmupt.runtime.layout import RunLayout
from mmupt.synth.candidates import Candidate, Written, write_candidates
from mmupt.synth.stage import SynthFolder
from mmupt.synth.subjects import Subject
from mmupt.types import ImageSource, LabeledPrompt, Prompt
from mmupt.world.splits import world_split


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("mini/direct", ["world.unlabeled_size=6", "model.path=m"])


@pytest.fixture
def rows(recipe: Recipe) -> list[LabeledPrompt]:
    return world_split(recipe.world, "unlabeled", "dice")


def candidate(question: str | None, majority: str | None = None, dropped: str | None = None) -> Candidate:
    return Candidate("id", "source", 1, question or "", "eos", question, majority=majority, dropped=dropped)  # type: ignore[arg-type]


def write(run: Path, *written: Written) -> None:
    file = SynthFolder(RunLayout(run).made("synth")).candidates
    file.parent.mkdir(parents=True)
    write_candidates(file, written)


def test_each_question_is_judged_in_its_picture(tmp_path: Path, recipe: Recipe, rows: list[LabeledPrompt]) -> None:
    questions = [row.prompt.question.removeprefix("<image>") for row in rows]
    first, second = rows[0], rows[1]
    write(
        tmp_path,
        Written(
            Subject((first.prompt,)),
            (
                candidate(questions[0], first.answer),  # kept, valid, right
                candidate(questions[0], "no such answer"),  # kept, valid, wrong
                candidate("How old are the dice?", "3"),  # kept, not understood
                candidate(None, dropped="unparsable"),
            ),
        ),
        Written(Subject((second.prompt,)), (candidate(questions[1], second.answer, dropped="trivial"),)),
    )
    assert asked(RunLayout(tmp_path), recipe) == {"synth": Asked(5, 3, 3, 2, 1)}


def test_a_picture_is_known_wherever_it_lies(tmp_path: Path, recipe: Recipe, rows: list[LabeledPrompt]) -> None:
    picture = tmp_path / "any name.png"
    picture.write_bytes(rows[2].prompt.images[0].data or b"")
    prompt = Prompt(id="any name.png", question="<image>", images=(ImageSource(path=str(picture)),))
    question = rows[2].prompt.question.removeprefix("<image>")
    write(tmp_path, Written(Subject((prompt,)), (candidate(question, rows[2].answer),)))
    assert asked(RunLayout(tmp_path), recipe) == {"synth": Asked(1, 1, 1, 1, 1)}
    picture.write_bytes(b"another picture")
    with pytest.raises(RunFolderError, match=r"any name\.png.*no picture of the world"):
        asked(RunLayout(tmp_path), recipe)


def test_nothing_where_nothing_was_written(tmp_path: Path, recipe: Recipe) -> None:
    assert asked(RunLayout(tmp_path), recipe) == {}
    assert asked(RunLayout(tmp_path), load_recipe("mini/upt", ["model.path=m"])) == {}
