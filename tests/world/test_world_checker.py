"""The checker of written questions: what it understands, what is valid, and that its answers are the slow world's."""

from __future__ import annotations

from random import Random

import pytest

from mmupt.data.questions import render_question
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.world.checker import Understood, answer_question, scene_from_key, understand
from mmupt.world.kinds import KINDS
from mmupt.world.mixes import MIXES
from mmupt.world.settings import WorldSettings
from mmupt.world.skills import ASK, DESCRIBE, SKILLS
from mmupt.world.splits import SHARES, world_split

NAMES = list(KINDS)
DICE = "dice:red3,blue5,red1,blue2"


def scenes(name: str, number: int):
    rng = Random(f"checker/{name}")
    return [KINDS[name].scene.random(rng) for _ in range(number)]


def other_clothes(text: str, rng: Random) -> str:
    """The same words in another case, with other spaces and other marks at the end."""
    words = [rng.choice((str.upper, str.lower, str.title, str))(word) for word in text.rstrip(".?").split()]
    joined = rng.choice((" ", "  ", "\n", "\t ")).join(words)
    return (
        rng.choice(("", " ", "<image>", "<image> ", " <image>")) + joined + rng.choice(("", "?", ".", " ?", "!", "?? "))
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_question_is_understood_in_any_clothes(name, slow_answer):
    rng = Random(0)
    for scene in scenes(name, 12):
        for question in KINDS[name].questions:
            valid = question.valid(scene)
            answer = slow_answer(scene.key(), question.text, question.choices) if valid else None
            expected = Understood(question.kind, question.level, valid, answer)
            assert understand(scene.key(), question.text, question.choices) == expected
            assert understand(scene.key(), other_clothes(question.text, rng), question.choices) == expected
            if question.choices is None:
                assert answer_question(scene, question.text) == answer
            else:
                assert answer_question(scene, question.text) is None


@pytest.mark.parametrize("mix", list(MIXES))
def test_it_agrees_with_every_row_of_every_split(mix):
    settings = WorldSettings(mix=mix, sft_size=150, rl_size=150, unlabeled_size=150, test_size=150)
    for split in SHARES:
        for row in world_split(settings, split):
            text = row.prompt.question
            told = understand(row.meta["key"], text, row.prompt.choices)
            if row.meta["question"] in SKILLS:
                assert told is None
            else:
                assert told == Understood(row.meta["question"], row.meta["level"], True, row.answer)
                shown = "".join(part.get("text", "") for part in render_question(row.prompt, PromptSettings(suffix="")))
                assert understand(row.meta["key"], shown) == told
            if row.meta["question"] in ("ask", "ask_another"):
                asked = understand(row.meta["key"], row.answer)
                assert asked is not None and asked.valid


@pytest.mark.parametrize(
    "text",
    [
        "", "?", "What is the meaning of this?", "How many red dice are there?", "How many reddice?", "How many dice?",
        "How many green dice?", "How many circles?", "Add all dice. Largest die?", "Please: how many red dice?",
        "How many red, dice?", ".How many red dice?", "How many red dice? \\boxed{2}", ASK, DESCRIBE,
        "Question: Largest die? Answer: 5 Is this answer right, yes or no?", "<image><image>Largest die?",
    ],
)  # fmt: skip
def test_other_texts_are_not_understood(text):
    assert understand(DICE, text) is None


def test_a_question_belongs_to_its_kind_of_picture():
    assert understand("table:1,2,3,4", "Largest die?") is None
    assert understand("bars:red4,blue5", "Largest minus smallest?") == Understood("range", 2, True, "1")
    assert understand("table:1,2,3,7", "Largest minus smallest?") == Understood("range", 2, True, "6")


def test_what_has_not_one_answer_is_understood_but_not_valid():
    assert understand("bars:red4,blue4", "Which bar is highest?") == Understood("highest", 2, False, None)
    assert understand("bars:red4,blue5", "Green minus red?") == Understood("minus", 2, False, None)
    assert understand("dice:red3,red5,red1,red2", "Add the blue dice.") == Understood("sum_of_color", 3, False, None)


def test_choices_are_needed_and_their_order_counts():
    key, text = "shapes:red-circle,red-square,red-circle,blue-triangle", "Which choice is the top left shape?"
    assert understand(key, text) == Understood("choice", 1, False, None)
    assert understand(key, text, ("square", "Circle", "triangle")) == Understood("choice", 1, True, "B")
    listed = text + "\nChoices:\n(A) square\n(B) triangle\n(C) circle"
    assert understand(key, listed) == Understood("choice", 1, True, "C")
    for wrong in (("square", "circle"), ("square", "circle", "star"), ("circle", "circle", "square"), ()):
        assert understand(key, text, wrong) is None
    assert understand(key, "How many circles?", ("1", "2")) is None


def test_a_foreign_key_is_an_error():
    with pytest.raises(DataError, match="is not the key of a picture"):
        understand("cards:7", "Largest die?")


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_one_kind_has_two_meanings(name):
    """What the checker forgives must not make two questions one."""
    plain = [" ".join(q.text.lower().split()).rstrip(" .?!") for q in KINDS[name].questions if q.choices is None]
    assert len(set(plain)) == len(plain)


def test_the_answer_is_that_of_the_scene_it_was_asked_about():
    scene = scene_from_key(DICE)
    assert answer_question(scene, "how many red dice") == "2"
    assert answer_question(scene, "How many circles?") is None
