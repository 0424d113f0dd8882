"""The guard in whole runs: back to the best step, over a kill as well; a gate that stays shut; label-free signals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.guard.guard import Event, Guard, Verdict
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint, load_state
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]


def recipe_of(micro: Micro, run_dir: Path, **stage: Any) -> Any:
    """One upt stage with enough prompts for a watch set."""

    def edit(table: dict[str, Any]) -> None:
        upt = next(entry for entry in table["stages"] if entry["kind"] == "upt")
        upt.update(guard={"watch": 8, "watch_samples": 3, "every": 2}, **stage)
        table.update(stages=[upt], run_dir=str(run_dir))
        table["world"]["unlabeled_size"] = 90
        del table["evaluation"]

    return load_recipe(str(micro(edit)))


def final(root: Path) -> bytes:
    folder = latest_checkpoint(RunLayout(root).checkpoints("upt"))
    assert folder is not None and load_state(folder)["finished"]
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def turning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real guard looks on; its decisions are written here: best at step 3, back there and slower behind step 4,
    back and over behind step 5."""
    observe = Guard.observe

    def scripted(self: Guard, step: int, *rest: Any) -> Verdict:
        fields = observe(self, step, *rest).fields

        def seen(*actions: Any) -> list[Event]:
            return [Event(step, actions[0], "score", "seen by a test", 0.0, 1.0, 0.5, actions)]

        decided = {4: seen("rollback", "slow"), 5: seen("rollback", "stop")}
        return Verdict(fields, self._tell(decided.get(step, [])), best=step == 3)

    monkeypatch.setattr(Guard, "observe", scripted)


def test_a_run_that_turns_hands_on_its_best_step(micro: Micro, tmp_path: Path, turning: None) -> None:
    whole = run_recipe(recipe_of(micro, tmp_path / "whole"))
    short = run_recipe(recipe_of(micro, tmp_path / "short", steps=3))
    assert final(whole) == final(short), "the weights behind step 3"
    records = read_metrics(RunLayout(whole).metrics)
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5], "it ended at the fifth"
    assert [record["lr_scale"] for record in records] == [1, 1, 1, 0.5, 0.5]
    assert records[4]["lr"] == 0.5 * records[0]["lr"], "slower from the step behind the decision on"  # type: ignore[operator]
    story = json.loads(RunLayout(whole).guard("upt").read_text())
    decided = [event["action"] for event in story["events"] if event["text"] == "seen by a test"]
    assert decided == ["rollback", "rollback"]
    assert (story["watched"], story["stopped_at"]) == (8, 5)
    summary = json.loads(RunLayout(whole).summary.read_text())
    assert summary["guard"]["upt"]["stopped_at"] == 5

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("mmupt.train.guarding.Guarding.go_back", killed)
        run_recipe(recipe_of(micro, tmp_path / "killed"))
    resumed = run_recipe(recipe_of(micro, tmp_path / "killed"), resume=True)
    assert final(resumed) == final(whole)
    assert json.loads(RunLayout(resumed).guard("upt").read_text()) == story


def test_a_gate_that_stays_shut_hands_on_the_start(micro: Micro, tmp_path: Path, answering: Path) -> None:
    """An extraction that finds nothing in what the model says: all is unreadable."""
    root = run_recipe(recipe_of(micro, tmp_path / "shut", answers={"extract": "tag:answer"}))
    assert final(root) == (answering / "model.safetensors").read_bytes()
    assert not read_metrics(RunLayout(root).metrics)
    story = json.loads(RunLayout(root).guard("upt").read_text())
    assert story["shut"] and "cannot be read" in story["events"][0]["text"]
    assert "guard.gate = false" in story["events"][0]["text"]


@pytest.mark.parametrize("reward", ["start_vote", pytest.param("ema_vote", marks=pytest.mark.slow)])
def test_teachers_survive_a_kill(micro: Micro, tmp_path: Path, reward: str) -> None:
    named = {"reward": {"name": reward, "ties": "first"}}
    whole = run_recipe(recipe_of(micro, tmp_path / "whole", **named))
    signal = [record["grad_norm"] for record in read_metrics(RunLayout(whole).metrics)]
    assert any(float(norm) > 0 for norm in signal), "something is learned"  # type: ignore[arg-type]

    steps: list[int] = []

    def fifth_is_the_last(*arguments: Any, **named: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return write(*arguments, **named)

    from mmupt.train import grpo

    write = grpo.write_groups
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(grpo, "write_groups", fifth_is_the_last)
        run_recipe(recipe_of(micro, tmp_path / "killed", **named))
    assert final(run_recipe(recipe_of(micro, tmp_path / "killed", **named), resume=True)) == final(whole)


def rounds(micro: Micro, run_dir: Path, **guard: Any) -> Any:
    """Two rounds of one label-free stage and a stage behind them that follows nobody."""

    def edit(table: dict[str, Any]) -> None:
        upt = next(entry for entry in table["stages"] if entry["kind"] == "upt")
        upt.update(guard={"watch": 8, "watch_samples": 3, "every": 2, **guard}, steps=2)
        table.update(stages=[upt, {**upt, "name": "other"}], run_dir=str(run_dir))
        table.update(loop={"stages": ["upt"], "rounds": 2})
        table["world"]["unlabeled_size"] = 90
        del table["evaluation"]

    return load_recipe(str(micro(edit)))


def test_a_guard_that_follows_holds_against_the_first_start(micro: Micro, tmp_path: Path) -> None:
    layout = RunLayout(run_recipe(rounds(micro, tmp_path / "run", gate=False)))
    first, second = (json.loads(layout.guard(name).read_text()) for name in ("upt-1", "upt-2"))
    assert first["watched"] == 8 and second["start"] == first["start"], "nobody has asked the second round's start"
    assert second["measurements"] != first["measurements"], "the second round's model was measured"
    legacy = [json.loads(layout.guard_legacy(name).read_text())["guard"] for name in ("upt-1", "upt-2", "other")]
    assert legacy[0]["labels"] == legacy[1]["labels"] != legacy[2]["labels"]
    assert legacy[0]["start"]["prompts"].keys() == legacy[1]["start"]["prompts"].keys()


def test_no_round_follows_one_that_the_guard_has_ended(micro: Micro, tmp_path: Path, turning: None) -> None:
    recipe = rounds(micro, tmp_path / "run", gate=False)
    first, second, other = recipe.stages
    longer = recipe.model_copy(update={"stages": (first.model_copy(update={"steps": 6}), second, other)})
    layout = RunLayout(run_recipe(longer))
    steps = [(record["stage"], record["step"]) for record in read_metrics(layout.metrics)]
    assert [step for stage, step in steps if stage == "upt-1"] == [1, 2, 3, 4, 5], "ended behind its fifth"
    assert {stage for stage, _ in steps} == {"upt-1", "other"}
    assert not layout.checkpoints("upt-2").exists()
