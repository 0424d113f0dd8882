"""Every question of every picture kind: the answer against the slow world, the chain, the checker, misreadings."""

from __future__ import annotations

import re
from random import Random

import pytest

from mmupt.errors import DataError
from mmupt.world.checker import answer_question, find_question, scene_from_key
from mmupt.world.kinds import KINDS, SMALL_KINDS

NAMES = list(KINDS)


def scenes(name: str, number: int, seed: int = 0):
    rng = Random(f"{name}/{seed}")
    return [KINDS[name].scene.random(rng) for _ in range(number)]


def boxed(chain: str) -> str:
    match = re.fullmatch(r"[^\\]+ \\boxed\{([^{}]+)\}", chain)
    assert match, chain
    return match[1]


def check_arithmetic(chain: str) -> int:
    """Recompute every `a+b=c`, `+b=c`, `a-b=c`, `a*b=c`, `a>b` of a chain; returns how many there were."""
    total, found = 0, 0
    for left, sign, right, result in re.findall(r"(?<![\d-])(\d*)([+*-])(\d+)=(-?\d+)", chain):
        before = int(left) if left else total
        total = {"+": before + int(right), "-": before - int(right), "*": before * int(right)}[sign]
        assert total == int(result), chain
        found += 1
    for left, sign, right in re.findall(r"(\d+)([<>])(\d+)", chain):
        assert (int(left) > int(right)) == (sign == ">"), chain
        found += 1
    return found


@pytest.mark.parametrize("name", NAMES)
def test_answers_equal_the_slow_world(name, slow_answer):
    asked = set()
    for scene in scenes(name, 250):
        for question in KINDS[name].questions:
            if question.valid(scene):
                expected = slow_answer(scene.key(), question.text, question.choices)
                assert question.solve(scene).answer == expected, (scene.key(), question.text)
                asked.add((question.text, question.choices))
    assert asked == {(question.text, question.choices) for question in KINDS[name].questions}


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_without_misreading_ends_in_the_true_answer(name):
    rng = Random(1)
    for scene in scenes(name, 60, seed=1):
        for question in KINDS[name].questions:
            if question.valid(scene):
                assert boxed(question.chain(scene, rng, 0.0)) == question.solve(scene).answer


@pytest.mark.parametrize("name", NAMES)
def test_a_misreading_chain_is_consistent_and_short(name):
    rng, checked = Random(2), 0
    for scene in scenes(name, 120, seed=2):
        for question in KINDS[name].questions:
            if question.valid(scene):
                chain = question.chain(scene, rng, 0.3)
                boxed(chain)
                checked += check_arithmetic(chain)
                limit = 31 if name in SMALL_KINDS else 100
                assert len(re.findall(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]", chain)) <= limit, chain
    assert checked > 0 or name == "shapes"


def test_wrong_readings_are_read_in_the_chain_and_followed_to_the_end():
    scene = scene_from_key("dice:red3,blue5,red1,blue2")
    question = find_question(scene, "Add all dice.")
    assert question is not None
    assert question.chain(scene, Random(0), 0.0) == "3 5 1 2: 3+5=8, +1=9, +2=11 \\boxed{11}"
    rng, wrong = Random(3), 0
    for _ in range(300):
        chain = question.chain(scene, rng, 0.3)
        read = [int(face) for face in chain.split(":")[0].split()]
        assert boxed(chain) == str(sum(read))
        wrong += read != [3, 5, 1, 2]
    assert 0.65 < wrong / 300 < 0.86  # 1 - 0.7^4 = 0.76


@pytest.mark.parametrize("name", NAMES)
def test_each_thing_is_misread_at_the_given_rate(name):
    """Counted on the contents word by word; what names a bar or a cell is never misread."""
    rng, wrong, things = Random(4), 0, 0
    for scene in scenes(name, 1500, seed=4):
        seen = scene.misread(rng, 0.15)
        pattern = r"\d+" if name in ("bars", "sales", "grouped_bars") else r"[a-z]+|\d+"
        before, after = re.findall(pattern, scene.contents()), re.findall(pattern, seen.contents())
        assert len(before) == len(after)
        wrong += sum(a != b for a, b in zip(before, after, strict=True))
        things += len(before)
        assert scene.misread(rng, 0.0) == scene
    assert abs(wrong / things - 0.15) < 4 * (0.15 * 0.85 / things) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_misread_things_are_things_of_the_world(name):
    rng = Random(5)
    for scene in scenes(name, 100, seed=5):
        seen = scene.misread(rng, 0.9)
        assert scene_from_key(seen.key()) == seen


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_unique_and_lead_back_to_the_scene(name):
    drawn = scenes(name, 400, seed=6)
    for scene in drawn:
        assert scene_from_key(scene.key()) == scene
    assert len({scene.key() for scene in drawn}) == len(set(drawn))


@pytest.mark.parametrize(
    "key",
    [
        "dice:red3,blue5,red1", "dice:red3,blue5,red1,blue7", "dice:red3,,red1,blue2", "bars:red3,red4", "bars:red3",
        "shapes:red-circle", "table:1,2,3,44", "clock:13:00-red-red-red", "clock:3:05-red-red-red",
        "cards:7", "", "dice",
        "board:red-circle-3", "board:" + ",".join(["red-circle-0"] * 12), "board:" + ",".join(["red-star-3"] * 12),
        *(f"sales:{rows}" for rows in (
            "A-Mo1-Tu2-We3-Th4,B-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4",
            "A-Mo1-Tu2-We3-Th4,B-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4",
            "A-Mo1-Tu2-We3-Th4,B-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4,D-Mo1-Tu2-We3-Fr4",
            "B-Mo1-Tu2-We3-Th4,A-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4,D-Mo1-Tu2-We3-Th4",
            "A-Tu1-Mo2-We3-Th4,B-Tu1-Mo2-We3-Th4,C-Tu1-Mo2-We3-Th4,D-Tu1-Mo2-We3-Th4",
            "A-Mo13-Tu2-We3-Th4,B-Mo1-Tu2-We3-Th4,C-Mo1-Tu2-We3-Th4,D-Mo1-Tu2-We3-Th4",
        )),
        *(f"grouped_bars:{groups}" for groups in (
            "A-red1-blue2,B-red1-blue2", "A-red1-blue2,B-red1-blue2,B-red1-blue2", "A-red1,B-red1,C-red1",
            "A-red1-red2,B-red1-red2,C-red1-red2", "A-red1-blue2,B-blue1-red2,C-red1-blue2",
            "A-red1-blue2,C-red1-blue2,B-red1-blue2",
        )),
    ],
)  # fmt: skip
def test_a_foreign_key_is_refused(key):
    with pytest.raises(DataError, match=r"is not the key|names a color twice"):
        scene_from_key(key)


def test_questions_without_one_answer_are_not_asked():
    tie, clear = scene_from_key("bars:red4,blue4"), scene_from_key("bars:red4,blue5")
    assert answer_question(tie, "Which bar is highest?") is None
    assert answer_question(clear, "Which bar is highest?") == "blue"
    assert answer_question(clear, "How high is the green bar?") is None
    assert answer_question(clear, "Green minus red?") is None
    assert answer_question(scene_from_key("dice:red3,red5,red1,red2"), "Add the blue dice.") is None


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_every_level_and_question_texts_are_unique(name):
    questions = KINDS[name].questions
    assert {question.level for question in questions} == {1, 2, 3}
    assert len({(question.text, question.choices) for question in questions}) == len(questions)
    levels = {}
    for question in questions:
        assert levels.setdefault(question.kind, question.level) == question.level
