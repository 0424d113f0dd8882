"""Rows that one stage makes and another learns from, in whole runs: made once, read by the later stage, resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.errors import ConfigError, DataError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]

LEARNING = {"optimizer": {"lr": 1e-3}, "checkpoint_every": 1}
TARGETS = {"kind": "targets", "name": "own", "keep": "all", "data": {"path": "world:unlabeled", "limit": 12}}
SFT = {"kind": "sft", "name": "imitate", "batch_size": 8, "data": {"path": "stage:own"}, **LEARNING}
PAIRS = {"kind": "pairs", "name": "better", "prefer": "gold_over_own", "data": {"path": "world:sft", "limit": 10}}
DPO = {"kind": "dpo", "name": "prefer", "batch_size": 4, "data": {"path": "stage:better"}, **LEARNING}


def recipe_of(micro: Micro, run_dir: Path, *stages: dict[str, Any], **more: Any) -> Any:
    def edit(table: dict[str, Any]) -> None:
        table.update(stages=list(stages), run_dir=str(run_dir), **more)
        del table["evaluation"]

    return load_recipe(str(micro(edit)))


def weights(root: Path, stage: str) -> bytes:
    folder = latest_checkpoint(RunLayout(root).checkpoints(stage))
    assert folder is not None
    return (folder / "model.safetensors").read_bytes()


def test_answers_and_preferences_are_made_and_learned_from(micro: Micro, tmp_path: Path) -> None:
    root = run_recipe(recipe_of(micro, tmp_path / "run", TARGETS, SFT, PAIRS, DPO))
    layout = RunLayout(root)
    rows = [json.loads(line) for line in (layout.made("own") / "train.jsonl").read_text().splitlines()]
    assert rows and all(row["solution"] and row["meta"]["made"]["rule"] == "all" for row in rows)
    steps = {stage: 0 for stage in ("imitate", "prefer")}
    for record in read_metrics(layout.metrics):
        steps[str(record["stage"])] += 1
    assert steps["imitate"] == -(-len(rows) // 8) and steps["prefer"] > 0
    assert "rows from" in layout.report.read_text(encoding="utf-8")


def test_a_killed_run_makes_its_rows_once(micro: Micro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_recipe(recipe_of(micro, tmp_path / "whole", TARGETS, SFT))
    recipe = recipe_of(micro, tmp_path / "killed", TARGETS, SFT)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("mmupt.train.context.StageContext.save_result", killed)
        run_recipe(recipe)
    with pytest.MonkeyPatch.context() as patched:  # nobody is asked again
        patched.setattr("mmupt.selftrain.made.collect", killed)
        resumed = run_recipe(recipe, resume=True)
    assert weights(resumed, "imitate") == weights(whole, "imitate")


def test_a_shared_data_table_does_not_rename_made_columns(micro: Micro, tmp_path: Path, questions: Path) -> None:
    text = questions.read_text(encoding="utf-8").replace('"question"', '"problem"')
    questions.write_text(text, encoding="utf-8")
    first = {**TARGETS, "data": {"path": str(questions)}}
    data = {"columns": {"question": "problem"}}
    root = run_recipe(recipe_of(micro, tmp_path / "run", first, SFT, data=data))
    assert latest_checkpoint(RunLayout(root).checkpoints("imitate")) is not None


def test_too_few_rows_are_told_when_they_are_made(micro: Micro, tmp_path: Path) -> None:
    upt = {"kind": "upt", "name": "upt", "steps": 1, "prompts_per_step": 4000, "data": {"path": "stage:own"}}
    with pytest.raises(DataError, match=r"stages\.upt\.prompts_per_step is 4000, but stage:own has only \d+ prompts"):
        run_recipe(recipe_of(micro, tmp_path / "run", TARGETS, upt))


def test_what_does_not_fit_together_is_told_before_anything_runs(micro: Micro, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'stage "own" makes answers to imitate, and kind "dpo" works with preferences'
    ):
        recipe_of(micro, tmp_path / "run", TARGETS, {**DPO, "data": {"path": "stage:own"}})
    with pytest.raises(ConfigError, match=r'"stage:own" is no earlier stage that makes rows; there is better'):
        recipe_of(micro, tmp_path / "run", PAIRS, SFT, TARGETS)
    assert not (tmp_path / "run").exists()
