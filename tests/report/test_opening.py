"""What stands above the curves of a stage."""

from __future__ import annotations

from typing import Any

from mmupt.report.opening import opening
from mmupt.report.reading import Stage

SETTINGS = {"data": {"path": "my/questions"}, "reward": {"name": "start_vote"}}


def stage(kind: str = "upt", settings: dict[str, Any] | None = None, steps: int = 8) -> Stage:
    records = [{"step": n, "share": 0.5 + 0.01 * n, "semantic_entropy": 1.0 - 0.1 * n} for n in range(steps)]
    return Stage("x", kind, records, SETTINGS if settings is None else settings, [], None)


def test_a_label_free_stage() -> None:
    told = opening(stage())
    assert told.startswith("Learns from the questions of my/questions, without their labels. Rewarded is an")
    assert "the stage's start model" in told
    assert "went from 50% to 57%" in told and "from 0.95 to 0.35" in told  # means of steps 0, 1 and of 6, 7


def test_other_stages() -> None:
    assert opening(stage("sft")) == ""
    labeled = opening(stage("rl", {**SETTINGS, "reward": {"name": "ground_truth"}}))
    assert "with their labels" in labeled and "agrees with the label" in labeled and "quarter" not in labeled
    assert "Its reward is mine.py:good." in opening(stage(settings={"reward": {"name": "mine.py:good"}}))


def test_few_steps_and_a_damaged_recipe() -> None:
    assert "quarter" not in opening(stage(steps=7))
    assert opening(stage(settings={"data": 3, "reward": None}, steps=0)) == ""
