"""The whole road on a recipe of seconds: what it writes, and that a label-free stage is label-free."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.errors import MmuptError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.rewards.settings import LABEL_FREE
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]


def weights(run: Path, stage: str) -> bytes:
    checkpoint = latest_checkpoint(RunLayout(run).checkpoints(stage))
    assert checkpoint is not None
    return (checkpoint / "model.safetensors").read_bytes()


def only_upt(path: str) -> Callable[[dict[str, Any]], None]:
    def edit(table: dict[str, Any]) -> None:
        table["stages"] = [s for s in table["stages"] if s["kind"] == "upt"]
        table["stages"][0].update(data={"path": path}, steps=3)
        del table["evaluation"]

    return edit


def signal(run: Path, stage: str) -> float:
    """The largest gradient of a stage: zero would mean that a test of it is empty."""
    return max(float(str(m["grad_norm"])) for m in read_metrics(RunLayout(run).metrics) if m["stage"] == stage)


def test_the_whole_road(micro: Micro, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_recipe(load_recipe(str(micro())))
    layout = RunLayout(run)
    last = layout.checkpoints("upt") / "step-000006"
    assert capsys.readouterr().out.splitlines()[-2:] == [f"model: {last}", f"report: {layout.report}"]
    assert [(m["stage"], m["step"]) for m in read_metrics(layout.metrics)] == (
        [("sft", s + 1) for s in range(12)] + [("rl", s + 1) for s in range(3)] + [("upt", s + 1) for s in range(6)]
    )
    assert len({weights(run, stage) for stage in ("sft", "rl", "upt")}) == 3, "every stage moved the weights"
    assert min(signal(run, stage) for stage in ("sft", "rl", "upt")) > 0
    summary = json.loads(layout.summary.read_text())
    (after,) = summary["stages"]
    assert after["name"] == "after" and after["n"] == 8
    assert {"greedy", "mean@2", "maj@2", "pass@2"} <= after.keys()
    assert after["mean@2"] <= after["pass@2"]
    assert summary["seconds"] > 0
    assert summary["guard"].keys() == {"upt"}, "no other stage has one"
    assert summary["guard"]["upt"].items() >= {"best_step": 0, "stopped_at": None, "rolled_back_to": None}.items()
    groups = read_groups(layout.groups("upt", 6))
    assert len(groups) == 4 and all(len(g["responses"]) == 4 for g in groups)  # type: ignore[arg-type]
    assert layout.report.read_text().startswith("<!doctype html>".upper()) or "<html" in layout.report.read_text()
    assert latest_checkpoint(layout.checkpoints("upt")).name == "step-000006"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "reward",
    [
        pytest.param(name, marks=() if name in ("majority_vote", "start_vote") else pytest.mark.slow)
        for name in LABEL_FREE
    ],
)
def test_upt_is_blind_to_labels(micro: Micro, questions: Path, tmp_path: Path, reward: str) -> None:
    """Answers deleted, shuffled or replaced: the same groups and the same weights, bit for bit."""
    terms = ["reward.terms=[{name='soft_vote'}, {name='likelihood'}]"] if reward == "combined" else []
    named = [f"stages.upt.reward.name={reward}", "stages.upt.reward.ties=first"]
    named += [f"stages.upt.{term}" for term in terms]
    rows = [json.loads(line) for line in questions.read_text().split("\n") if line]
    answers = [row["answer"] for row in rows]
    random.Random(0).shuffle(answers)
    variants = {
        "as_is": rows,
        "shuffled": [{**row, "answer": a} for row, a in zip(rows, answers, strict=True)],
        "deleted": [
            {k: v for k, v in row.items() if k not in ("answer", "answer_kind", "unit", "solution", "meta")}
            for row in rows
        ],
        "absurd": [{**row, "answer": {"not": ["even", "a", "string"]}} for row in rows],
    }
    outcome = set()
    for name, variant in variants.items():
        file = questions.with_name(f"{name}.jsonl")
        file.write_text("\n".join(json.dumps(row) for row in variant))
        recipe = load_recipe(str(micro(only_upt(str(file)))), [f"run_dir={tmp_path / name}", *named])
        run = run_recipe(recipe)
        groups = [read_groups(RunLayout(run).groups("upt", step)) for step in (1, 2, 3)]
        assert signal(run, "upt") > 0 or reward == "verified_vote", "so small a verifier refuses everything"
        outcome.add((weights(run, "upt"), json.dumps(groups, default=str)))
    assert len(outcome) == 1


def test_the_same_seed_gives_the_same_run_and_another_does_not(micro: Micro, questions: Path, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> bytes:
        recipe = load_recipe(str(micro(only_upt(str(questions)))), [f"run_dir={tmp_path / name}", f"seed={seed}"])
        return weights(run_recipe(recipe), "upt")

    assert run("a", 5) == run("b", 5) != run("c", 6)


def test_lora_hands_on_a_plain_model(micro: Micro, questions: Path) -> None:
    edit = only_upt(str(questions))
    recipe = load_recipe(str(micro(edit)), ["model.lora.rank=4", "algo.kl_coef=0.05"])
    run = run_recipe(recipe)
    checkpoint = latest_checkpoint(RunLayout(run).checkpoints("upt"))
    assert checkpoint is not None
    assert {p.name for p in checkpoint.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
    }
    assert not (checkpoint / "adapter_model.safetensors").exists()
    kl = [m["kl"] for m in read_metrics(RunLayout(run).metrics)]
    assert kl[0] == pytest.approx(0.0, abs=1e-6), "before the first step policy and reference are one"
    assert kl[-1] > 1e-6  # type: ignore[operator]


def test_a_run_that_fails_keeps_its_last_checkpoint_and_writes_a_report(
    micro: Micro, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss turns NaN in step 4: the checkpoint of step 2 stands, nothing after it was trained."""
    import mmupt.train.update as update

    real, calls = update.grpo_loss, 0

    def turns_nan(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        terms = real(*args, **kwargs)
        if calls == 4:
            object.__setattr__(terms, "loss", terms.loss * float("nan"))
        return terms

    monkeypatch.setattr(update, "grpo_loss", turns_nan)
    recipe = load_recipe(str(micro(only_upt(str(questions)))), ["stages.upt.steps=8", "algo.kl_coef=0.01"])
    with pytest.raises(MmuptError, match="no step was taken and the last checkpoint stands"):
        run_recipe(recipe)
    layout = RunLayout(Path(str(recipe.run_dir)))
    assert latest_checkpoint(layout.checkpoints("upt")).name == "step-000002"  # type: ignore[union-attr]
    assert layout.report.exists()
    assert "\nmodel: " not in capsys.readouterr().out, "no stage has finished"
    assert [m["step"] for m in read_metrics(layout.metrics)] == [1, 2, 3]
