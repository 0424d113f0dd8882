"""A recipe's dpo stage: the whole road, killed and resumed, and bad pairs refused before anything is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.cli import main
from mmupt.data.writer import write_jsonl
from mmupt.pipeline import run_recipe
from mmupt.profiling import rehearsal
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.train import dpo
from mmupt.types import PreferencePair
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split

Recipe = Callable[..., Path]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Eight pairs: the worked chain of a world question against that of the question before."""
    rows = world_split(WorldSettings(sft_size=9), "sft")
    found = [
        PreferencePair(row.prompt, f"{row.solution}", f"{before.solution}?", {"skill": "x"})
        for before, row in pairwise(rows)
    ]
    return write_jsonl(tmp_path / "pairs", "train", found)


@pytest.fixture
def recipe(tmp_path: Path, tiny_folder: Path, pairs: Path) -> Recipe:
    """Two dpo stages, the second from where the first left the model, with what they share at the top."""

    def _recipe(**changes: Any) -> Path:
        table: dict[str, Any] = {
            "name": "pairs",
            "seed": 3,
            "run_dir": str(tmp_path / "run"),
            "model": {"path": str(tiny_folder)},
            "data": {"path": str(pairs)},
            "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136},
            "preference": {"beta": 0.2},
            "optimizer": {"lr": 1e-3},
            "checkpoint_every": 2,
            "stages": [
                {"kind": "dpo", "name": "first", "epochs": 2, "batch_size": 4},
                {"kind": "dpo", "name": "second", "batch_size": 4, "preference": {"sft_weight": 0.5}},
            ],
        }
        path = tmp_path / "pairs.toml"
        path.write_text(tomli_w.dumps(table | changes), encoding="utf-8")
        return path

    return _recipe


def weights(run: Path, stage: str) -> bytes:
    checkpoint = latest_checkpoint(RunLayout(run).checkpoints(stage))
    assert checkpoint is not None
    return (checkpoint / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "override", ["seed=3", "model.lora.rank=4", pytest.param('model.freeze=["vision"]', marks=pytest.mark.slow)]
)
def test_interrupted_and_resumed_is_undisturbed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str
) -> None:
    """Interrupted in step 3 of the first stage, behind its checkpoint of step 2, and then in step 2 of the second:
    weights and metrics are those of a run left alone. The reference is still the model the stage began with."""
    real, calls, stops = dpo.apply_gradients, 0, [3, 7]

    def interrupt(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in stops:
            raise KeyboardInterrupt
        return real(*arguments)

    def run(name: str, **flags: bool) -> None:
        run_recipe(load_recipe(str(recipe()), [f"run_dir={tmp_path / name}", override]), **flags)

    with monkeypatch.context() as patch:
        patch.setattr(dpo, "apply_gradients", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
        with pytest.raises(KeyboardInterrupt):
            run("stopped", resume=True)
    run("stopped", resume=True)
    run("calm")

    kept = ("stage", "step", "loss", "reward/margin", "reward/accuracy", "logprob/chosen", "grad_norm", "tokens")
    stopped, calm = (
        [[record[name] for name in kept] for record in read_metrics(RunLayout(tmp_path / name).metrics)]
        for name in ("stopped", "calm")
    )
    assert stopped == calm
    assert [row[:2] for row in calm] == [["first", n + 1] for n in range(4)] + [["second", 1], ["second", 2]]
    assert all(row[3] != 0.0 for row in calm if row[1] > 1), "policy and reference are not the same"
    for stage in ("first", "second"):
        assert weights(tmp_path / "stopped", stage) == weights(tmp_path / "calm", stage)
    assert weights(tmp_path / "calm", "first") != weights(tmp_path / "calm", "second")


def test_summary_report_and_profile_know_the_stage(recipe: Recipe, tmp_path: Path) -> None:
    loaded = load_recipe(str(recipe()))
    run = RunLayout(run_recipe(loaded))
    second = [record for record in read_metrics(run.metrics) if record["stage"] == "second"]
    assert second[0]["reward/margin"] == 0.0, "a stage's reference is what it began with, not what the run began with"
    assert second[0]["floor_fraction"] > 0 and second[0]["tokens_reference"] == second[0]["tokens"]
    page = run.report.read_text(encoding="utf-8")
    assert "learning from preferences" in page and "margin of rewards" in page
    short = rehearsal(loaded, loaded.stages[0], 2, tmp_path / "short")  # type: ignore[arg-type]
    assert short.stages[0].epochs == 1 and short.stages[0].data.limit == 8  # type: ignore[union-attr]


def no_chosen(rows: list[dict[str, Any]]) -> None:
    del rows[3]["chosen"]


def the_same_twice(rows: list[dict[str, Any]]) -> None:
    rows[3]["rejected"] = rows[3]["chosen"]


def end_token(rows: list[dict[str, Any]]) -> None:
    rows[3] |= {"id": "the-odd-one", "rejected": "It is 8.<|im_end|>"}


def not_pairs(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["response"] = row.pop("chosen")


def too_long(rows: list[dict[str, Any]]) -> None:
    rows[3] |= {"id": "the-long-one", "question": rows[3]["question"] + " dice" * 3000}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (no_chosen, ["train.jsonl:4: chosen: ", "missing or empty"]),
        (the_same_twice, ["train.jsonl:4: rejected: ", "nothing to prefer"]),
        (end_token, ["train.jsonl", "the-odd-one", "rejected", "<|im_end|>", "remove it"]),
        (not_pairs, ['no column "chosen"', "response", "set data.columns.chosen"]),
        (too_long, ["the-long-one", "prompt.max_tokens"]),
    ],
)
def test_bad_pairs_stop_the_run_before_it_begins(
    recipe: Recipe,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[list[dict[str, Any]]], None],
    named: list[str],
) -> None:
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").split("\n") if line]
    spoil(rows)
    pairs.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["mmupt", "run", str(recipe())])
    with pytest.raises(SystemExit) as stop:
        main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and "Traceback" not in error
    for word in named:
        assert word in error
    assert not (tmp_path / "run").exists(), "nothing half-written"


def test_the_offline_world_has_no_pairs(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mmupt", "run", str(recipe(data={"path": "world:sft"}))])
    with pytest.raises(SystemExit):
        main()
    assert 'data.path "world:sft": the offline world has no pairs of responses' in capsys.readouterr().err
