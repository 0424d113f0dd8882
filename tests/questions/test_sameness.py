"""Are two questions the same? Against a slow count, and on pairs that must and must not be."""

from __future__ import annotations

import random

import pytest

from mmupt.questions.sameness import NEAR, closest, clusters, same_question, similarity, tokens

WORDS = ["how", "many", "red", "blue", "dice", "are", "there", "3", "+", "the"]


def slow(one: str, other: str) -> float:
    """The Jaccard index of two bags, counted by taking away what is matched."""
    bags = []
    for text in (one, other):
        words = list(tokens(text))
        bags.append(words + [f"{words[k]} {words[k + 1]}" for k in range(len(words) - 1)])
    left, right = bags
    shared = 0
    rest = list(right)
    for gram in left:
        if gram in rest:
            rest.remove(gram)
            shared += 1
    union = len(left) + len(right) - shared
    return shared / union if union else 0.0


def test_similarity_on_random_texts() -> None:
    rng = random.Random(0)
    for _ in range(300):
        one, other = (" ".join(rng.choices(WORDS, k=rng.randint(0, 9))) for _ in range(2))
        assert similarity(one, other) == pytest.approx(slow(one, other))
        assert similarity(one, other) == similarity(other, one)
        assert similarity(one, one) == (1.0 if tokens(one) else 0.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many dice?", "how  many DICE"),
        ("Ｈow many?", "How many ?"),
        ("<image>What is 2+3?", "what is 2 + 3"),
        ("a well-known shape?", "A well known shape"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert same_question(one, other) and similarity(one, other) == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 2+3?", "What is 2-3?"),
        ("What is 2.5?", "What is 25?"),
        ("How many red dice?", "How many blue dice?"),
        ("", ""),
        ("??", "!!"),
        ("有几个红骰子？", "有几个蓝骰子？"),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert not same_question(one, other) and similarity(one, other) < NEAR


def test_near_duplicates() -> None:
    asked = "How many of the dice in the picture show more than three pips?"
    assert similarity(asked, asked.replace("three", "four")) >= NEAR, "one word of twelve"
    assert similarity(asked, asked.replace("in the picture ", "")) < 1
    assert similarity(asked, "Which color is the die in the top left corner of the picture?") < NEAR
    assert closest(asked, ["Add all dice.", asked.lower(), asked]) == (1.0, asked.lower()), "the first of equals"
    assert closest(asked, []) == (0.0, None)


def test_clusters_are_linked_and_do_not_depend_on_order() -> None:
    chain = ["a b c d e f g h i j", "a b c d e f g h i k", "a b c d e f g h l k", "x y z", "a b c d e f g h i j", None]
    assert similarity(chain[0] or "", chain[2] or "") < NEAR <= similarity(chain[0] or "", chain[1] or "")
    assert clusters(chain) == [(0, 1, 2, 4), (3,)]
    rng = random.Random(1)
    for _ in range(20):
        order = rng.sample(range(len(chain)), len(chain))
        found = {frozenset(order[i] for i in members) for members in clusters([chain[i] for i in order])}
        assert found == {frozenset({0, 1, 2, 4}), frozenset({3})}
    assert clusters([]) == [] and clusters([None]) == []
    assert clusters(["??", "??"]) == [(0, 1)], "without words, the very same text"
