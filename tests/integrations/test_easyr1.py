"""The vote as EasyR1's batch reward function: entries of the shape that its BatchFunctionRewardManager makes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mmupt.errors import ConfigError
from mmupt.integrations.easyr1 import compute_score


def entries(*rows: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"response": r, "response_length": len(r), "ground_truth": mark} for r, mark in rows]


def test_ids_in_the_ground_truth_make_groups_in_any_order() -> None:
    rows = [
        (r"\boxed{3}", "q1"),
        (r"\boxed{3.0}", "q1"),
        ("hm", "q1"),
        (r"\boxed{1}", "q2"),
        (r"\boxed{1}", "q2"),
        ("", "q2"),
    ]
    expected = {0: 1.0, 1: 1.0, 2: 0.0, 3: 1.0, 4: 1.0, 5: 0.0}
    for seed in range(5):
        order = list(range(6))
        random.Random(seed).shuffle(order)
        scores = compute_score(entries(*(rows[i] for i in order)), group_size=3)
        assert [s["overall"] for s in scores] == [expected[i] for i in order]
        assert [s["accuracy"] for s in scores] == [s["overall"] for s in scores]
        assert [s["format"] for s in scores] == [float(i not in (2, 5)) for i in order]


def test_marks_may_say_more() -> None:
    options = '{"id": "q1", "choices": ["40", "45"]}'
    scores = compute_score(
        entries(
            (r"\boxed{B}", options), (r"\boxed{45}", options), (r"\boxed{0.5}", '{"gold": "1/2"}'), ("x", "{odd id")
        )
    )
    assert [s["overall"] for s in scores] == [1.0, 1.0, 1.0, 0.0]


def test_settings() -> None:
    rows = entries(("<a>1</a>", 7), ("<a>2</a>", 7))
    assert [s["overall"] for s in compute_score(rows, extract="tag:a", kind="soft")] == [0.5, 0.5]
    assert [s["overall"] for s in compute_score(rows, extract="tag:a", ties="first")] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "keys", "told"),
    [
        (entries(("x", "q1"))[0], {}, "reward_type=batch"),
        (entries(("x", "q1")), {"group_size": 2}, '"q1" has 1 responses'),
        (entries(("x", "")), {}, "empty ground truth"),
        (entries(("x", None)), {}, "empty ground truth"),
        (entries(("x", '{"choices": []}')), {}, "neither id"),
    ],
)
def test_mistakes(rows: Any, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compute_score(rows, **keys)
