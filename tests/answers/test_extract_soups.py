"""Random soups of what responses are made of: reading never raises, and always says either an answer or a reason."""

from __future__ import annotations

import random

import pytest

from mmupt.answers.extract import extract

PIECES = [
    "\\boxed{", "}", "{", "3", "A", "(B)", "the answer is ", "Answer: ", "\n", " ", ".", "$", "**", "=", "\\frac",
    "cannot be determined", "[2, 3]", "yes", "No", "Choices:\n(A) 1\n(B) 2", "B. 45 km", "三", "答案是", "<", "> ",
    "</s>", "Question: ", "\\n", "I'm sorry", "and", "<answer>", "</answer>", "\u200b", "１", "。",
]  # fmt: skip
CHOICES = [None, ("1", "2"), ("A", "B"), ("3 cm", "45 km", "yes"), ("", "3")]


@pytest.mark.parametrize("mode", ["lenient", "boxed", "tag:answer"])
def test_any_soup_is_read_or_refused(mode: str) -> None:
    rng = random.Random(mode)
    answered = 0
    for _ in range(8000):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 9)))
        found = extract(text, mode, choices=rng.choice(CHOICES))
        assert (found.answer is None) == (found.reason is not None), text
        assert found.answer is None or found.answer.strip(), text
        answered += found.answer is not None
    assert answered > 10, "some soups hold an answer"
