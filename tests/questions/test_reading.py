"""Questions out of responses: what models write around them, and what is none."""

from __future__ import annotations

import random
import time

import pytest

from mmupt.questions.reading import asks, read_question


@pytest.mark.parametrize(
    ("response", "question"),
    [
        # alone
        ("Add all dice.", "Add all dice."),
        ("Largest die?", "Largest die?"),
        ("In triangle ABC, find the area.", "In triangle ABC, find the area."),
        ("图中有几个骰子？", "图中有几个骰子?"),
        # labels, numbers, quotes, bold type
        ("Question: How many dice are red?", "How many dice are red?"),
        ("**Question:** How many dice are red?", "How many dice are red?"),
        ("**New question**: How many?", "How many?"),
        ("Question 3: How many?", "How many?"),
        ("### Question\nQ: How many?", "How many?"),
        ("问题：图中有几个骰子？", "图中有几个骰子?"),
        ("1. How many dice are red?", "How many dice are red?"),
        ("- How many dice are red?", "How many dice are red?"),
        ('"How many dice are red?"', "How many dice are red?"),
        ("**How many dice are red?**", "How many dice are red?"),
        ('1. **"How many dice are red?"**', "How many dice are red?"),
        ("> How tall is it in cm?", "How tall is it in cm?"),
        ("<image>How many?", "How many?"),
        # politeness in front
        ("Sure! How many red dice are there?", "How many red dice are there?"),
        ("Sure! Here is one:\n\nHow many?", "How many?"),
        ("Certainly.\n\nQuestion: How many?", "How many?"),
        ("Here's a question about the picture: How many?", "How many?"),
        ("Here is a new question.\n\n> How many?", "How many?"),
        # premises stay
        ("The base is 4.\nThe height is 3.\nWhat is the area?", "The base is 4.\nThe height is 3.\nWhat is the area?"),
        ("In the figure, AB = 5. What is x?", "In the figure, AB = 5. What is x?"),
        ("How long is it? Give your answer in cm.", "How long is it? Give your answer in cm."),
        # options stay
        ("What is x?\n(A) 3\n(B) 4\n\nAnswer: B", "What is x?\n(A) 3\n(B) 4"),
        ("What is x?\n\nA. 3\nB. 4\nThe answer is: B", "What is x?\nA. 3\nB. 4"),
        ("Which one is red, (A) this or (B) that?", "Which one is red, (A) this or (B) that?"),
        # only the first of several, and no answer
        ("What is red? What is blue?", "What is red?"),
        ("1. What is A?\n2. What is B?", "What is A?"),
        ("Here are three:\n1. What is A?\n2. What is B?", "What is A?"),
        ("Question 1: How many?\nQuestion 2: Where?", "How many?"),
        ("What is it? The answer is 3.", "What is it?"),
        ("Q: Which? A: 3", "Which?"),
        ("How many?\nSolution: count them.", "How many?"),
        ("How many?\n\nI chose this because it is hard.", "How many?"),
        ("Question: How many?\n**Answer:** 3", "How many?"),
        # thoughts and tags
        ("<think>What is red? Hm.\n</think>\nHow many?", "How many?"),
        ("blah <question>Find x.</question> blah <answer>3</answer>", "Find x."),
    ],
)
def test_what_is_read(response: str, question: str) -> None:
    assert read_question(response).text == question
    assert read_question(question).text == question, "reading is done when it is done"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "nothing written"),
        ("...\n---", "nothing written"),
        ("The picture shows four dice.", "it asks nothing"),
        ("3 5 1 2: largest 5", "it asks nothing"),
        ("I'm sorry, I cannot see a picture. Could you send it?", "an apology"),
        ("As an AI, I can't do this?", "an apology"),
        (r"How many? \boxed{7}", "a box with an answer in it"),
        ("What is in <image> here?", "the placeholder of a picture in the middle"),
        ("How many\ufffd dice?", "broken characters"),
        ("<think>What could I ask?", "a thought without its end"),
    ],
)
def test_what_is_no_question(response: str, reason: str) -> None:
    read = read_question(response)
    assert read.text is None and read.reason == reason


def test_a_response_that_was_cut_off() -> None:
    """Only what something follows is known to be complete."""
    assert read_question("How many dice are there? (A", cut_off=True).reason == "cut off"
    assert read_question("Find the area of the", cut_off=True).reason == "cut off"
    assert read_question("How many?\nAnswer: I cou", cut_off=True).text == "How many?"
    assert read_question("How many? The answer is th", cut_off=True).text == "How many?"
    assert read_question("<question>How many?</question> bec", cut_off=True).text == "How many?"
    assert read_question("How many?\n\nThis is", cut_off=True).text == "How many?"


def test_asking() -> None:
    assert all(map(asks, ("Why?", "List them.", "If x = 3, find y.", "Please count the dice", "AB = 5. Calculate BC.")))
    assert not any(map(asks, ("A die.", "The list is long.", "They found it.", "Additional dice.")))


def test_hostile_text_is_read_in_time() -> None:
    """Nothing raises, nothing takes long, and what is read can be put to a model."""
    rng = random.Random(0)
    pieces = ["Question:", "?", "\n", "<image>", "<question>", "</question>", "</think>", r"\boxed{", "(A) ", "**", '"',
              "1. ", " A) x", "Answer:", "\u202e", "\x00", "\ud800", "很", "find ", " " * 50, "`" * 30]  # fmt: skip
    began = time.perf_counter()
    for _ in range(1500):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 40)))
        read = read_question(text, cut_off=rng.random() < 0.5)
        assert (read.text is None) != (read.reason is None)
        assert read.text is None or ("<image>" not in read.text and read.text == read.text.strip())
    for text in (
        "?" * 100_000,
        "(A) x " * 50_000,
        "\n" * 100_000,
        "Question:" * 20_000,
        '"' * 100_000,
        "find " * 40_000,
    ):
        read_question(text)
    assert time.perf_counter() - began < 20
