"""What is not an update: teachers, measured rewards, the watch set, evaluations, rows that are made, going back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.processes.conftest import REPLICA, SHARDED, UPT, Group, apart, weights

from mmupt.evals.records import read_records
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other suffer most on a machine that is busy

MADE = {
    "kind": "targets",
    "name": "own",
    "keep": "data",  # a fresh model has no answers to imitate, but it does describe
    "describe": True,
    "data": {"path": "world:sft", "limit": 5},
    "rollout": {**UPT["rollout"], "prompts_at_once": 3},
}
GUARDED = {
    **UPT,
    "steps": 1,
    "updates_per_step": 1,
    "reward": {"name": "combined", "terms": [{"name": "token_entropy"}, {"name": "start_vote"}]},
    "guard": {"watch_samples": 2, "every": 1, "gate": False},
}
EVALUATION = {"samples": 2, "max_new_tokens": 6, "prompts_at_once": 3, "start": True, "data": {"path": "world:test"}}


def test_all_that_is_sampled_and_measured_is_the_same(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    """Of two processes as of one, whether each has the whole model or half of it: rows that a stage makes, a teacher, a
    reward that forwards, the watch set, answers of an evaluation. The first process alone writes, so there is one of
    each file."""
    path = recipe(
        "all",
        MADE,
        GUARDED,
        world={"unlabeled_size": 90, "sft_size": 6, "test_size": 5},
        evaluation={**EVALUATION, "every_stage": False},
    )
    one, two, halves = (RunLayout(tmp_path / name) for name in ("one", "two", "halves"))
    replica, sharded = Group(2).run(path, two.root, *REPLICA), Group(2).run(path, halves.root, *SHARDED)
    for ended in work(Group(1).run(path, one.root), replica, sharded):
        assert set(ended.codes) == {0}, ended.said
    for other in (two, halves):
        same_in_all(one, other)


def same_in_all(one: RunLayout, two: RunLayout) -> None:
    made = [run.made("own") / "train.jsonl" for run in (one, two)]
    assert made[0].read_bytes() == made[1].read_bytes()

    answers = [read_records(run.eval_parquet("base"), ["id", "greedy", "samples"]) for run in (one, two)]
    assert answers[0] == answers[1] and len(answers[0]) == 5

    alone, together = (read_metrics(run.metrics)[-1] for run in (one, two))
    names = [name for name in alone if name.startswith("guard") or name in ("reward", "share", "loss", "unreadable")]
    assert len(names) > 6
    for name in names:
        assert together[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-4), name
    stories = [json.loads(run.guard("upt").read_text()) for run in (one, two)]
    assert stories[0]["watched"] == stories[1]["watched"] > 0
    assert len(stories[0]["measurements"]) == len(stories[1]["measurements"]) == 1
    assert {file.name for file in one.root.iterdir()} == {file.name for file in two.root.iterdir()}


@pytest.mark.slow  # 35 s on two cores
def test_going_back_is_the_same(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    """Behind step 3 to the checkpoint of step 2, and behind step 4 to the start: weights and the optimiser's state. Of
    an adapter too."""
    recipes = {"full": recipe("full", UPT), "adapter": recipe("adapter", UPT, model={"lora": {"rank": 4}})}
    back = {"back": {"3": 2, "4": 0}}
    groups = {"alone": Group(1), "replica": Group(2), "sharded": Group(2)}
    for name, path in recipes.items():
        for layout, flags in (("alone", ()), ("replica", REPLICA), ("sharded", SHARDED)):
            groups[layout] = groups[layout].run(path, tmp_path / f"{name}-{layout}", *flags, **back)
    for ended in work(*groups.values()):
        assert set(ended.codes) == {0}, ended.said
    for name in recipes:
        for layout in ("replica", "sharded"):
            alone, many = (weights(tmp_path / f"{name}-{where}", "upt") for where in ("alone", layout))
            assert apart(alone, many) < 1e-5, (name, layout)
    first, *_, last = read_metrics(tmp_path / "full-sharded" / "metrics.jsonl")
    assert last["entropy"] == pytest.approx(first["entropy"], abs=2e-3), "the last step began at the start"
