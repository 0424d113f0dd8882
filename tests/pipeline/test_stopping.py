"""What ends a run from outside: SIGTERM, and a disk that is full. The run that goes on is the run left alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.interrupted import started

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.runtime.stopping import EXIT_CODE

Micro = Callable[..., Path]

GRPO, HF = "mmupt.train.grpo", "mmupt.engines.hf"


@pytest.fixture
def steps(micro: Micro) -> Callable[[int], Path]:
    """One stage of label-free training with a checkpoint every so many steps, and a measurement behind it."""

    def recipe(every: int) -> Path:
        def edit(table: dict[str, Any]) -> None:
            (upt,) = (s for s in table["stages"] if s["kind"] == "upt")
            table["stages"] = [
                {**upt, "checkpoint_every": every, "checkpoints": {"background": every == 2}},
                {"kind": "eval", "name": "after"},
            ]

        return micro(edit)

    return recipe


def finished(recipe: Path, run: Path, *, resume: bool = False) -> tuple[bytes, bytes]:
    """Weights and answers of the run at its end."""
    run_recipe(load_recipe(str(recipe), [f"run_dir={str(run)!r}"]), resume=resume)
    assert [m["step"] for m in read_metrics(run / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    weights = RunLayout(run).checkpoint("upt", 6) / "model.safetensors"
    return weights.read_bytes(), RunLayout(run).eval_parquet("after").read_bytes()


def in_line_3(metrics: Path) -> int:
    return sum(map(len, metrics.read_bytes().splitlines(keepends=True)[:2])) + 300


def resuming(recipe: Path, run: Path) -> list[str]:
    return ["run", str(recipe), "--set", f"run_dir={run}", *(["--resume"] if run.exists() else [])]


def test_a_stopped_run_goes_on_as_the_run_left_alone(steps: Callable[[int], Path], tmp_path: Path) -> None:
    """While rollouts are sampled, inside an update, in the last step of the stage, in a measurement; no checkpoint is
    ever due by itself."""
    recipe, run = steps(99), tmp_path / "run"
    moments = [
        (HF, "HFEngine.generate", 2, 2),
        (GRPO, "update_policy", 2, 4),
        (GRPO, "update_policy", 2, 6),
        ("mmupt.evals.answering", "_answer", 1, 6),
    ]
    for module, name, call, behind in moments:
        code, said = started(resuming(recipe, run), module, name, call, "term")
        assert code == EXIT_CODE == 143, said
        assert f"stopped by SIGTERM; continue with: mmupt run {recipe} --set run_dir={run} --resume" in said
        assert "Traceback" not in said
        assert latest_checkpoint(RunLayout(run).checkpoints("upt")) == RunLayout(run).checkpoint("upt", behind), said
    assert finished(recipe, run, resume=True) == finished(recipe, tmp_path / "calm")


def test_a_second_one_ends_at_once(steps: Callable[[int], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _ = started(resuming(steps(99), run), GRPO, "update_policy", 2, "term twice")
    assert code == -signal.SIGTERM
    assert not RunLayout(run).checkpoints("upt").exists()


def test_before_there_is_a_run_nothing_is_to_continue(steps: Callable[[int], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, said = started(resuming(steps(99), run), "mmupt.pipeline", "preflight", 1, "term")
    assert code == EXIT_CODE and "nothing was written yet, start again with" in said
    assert not run.exists()


@pytest.mark.slow  # half a minute on two cores
def test_a_full_disk_ends_a_run_with_one_message(steps: Callable[[int], Path], tmp_path: Path) -> None:
    """In the groups of a step, in the metrics, in a checkpoint, in an answer of a measurement, and in its result."""
    recipe, run = steps(2), tmp_path / "run"
    layout = RunLayout(run)
    checkpoint = "checkpoint cannot be written (File too large; "
    moments = [
        (GRPO, "write_groups", 3, 100, "groups/upt/000003.parquet: cannot be written (File too large; ", 2),
        (GRPO, "StageContext.save", 1, 100_000, checkpoint, 2),
        (
            "mmupt.runtime.metrics",
            "MetricsLog.append",
            1,
            None,
            "metrics.jsonl: cannot be written (File too large; ",
            2,
        ),
        ("mmupt.evals.answering", "_answer", 1, 100, "after.parts/000000.parquet: cannot be written", 6),
        ("mmupt.pipeline", "write_records", 1, 100, "evals/after.parquet: cannot be written", 6),
    ]
    for module, name, call, room, words, behind in moments:
        code, said = started(resuming(recipe, run), module, name, call, f"full:{room or in_line_3(layout.metrics)}")
        assert code == 2, said
        assert words in said and "GB free there); free space, then resume the run" in said
        assert said.count("error:") == 1 and "Traceback" not in said
        assert latest_checkpoint(layout.checkpoints("upt")) == layout.checkpoint("upt", behind), said
        assert not [path for path in run.rglob("*.tmp-*")], "nothing half-written is left"
    assert finished(recipe, run, resume=True) == finished(recipe, tmp_path / "calm")
