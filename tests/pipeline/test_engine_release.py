"""Engines that hold a copy of the weights are told before the weights move, whatever moves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.engines.hf import HFEngine
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.train import grpo
from mmupt.train.guarding import Guarding, Outcome


def test_an_engine_is_released_before_every_move(micro: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, the first of which the guard takes back."""
    told: list[str] = []

    def listen(owner: Any, name: str, word: str) -> None:
        whole = getattr(owner, name)

        def listening(*arguments: Any, **named: Any) -> Any:
            told.append(word)
            return whole(*arguments, **named)

        monkeypatch.setattr(owner, name, listening)

    listen(HFEngine, "release", "release")
    listen(HFEngine, "generate", "generate")
    listen(grpo, "update_policy", "move")
    listen(Guarding, "go_back", "move")
    monkeypatch.setattr(Guarding, "after", lambda self, step, *_: Outcome(go_back_to=0 if step == 1 else None))
    monkeypatch.setattr(Guarding, "finish", lambda self, step: None)

    def edit(table: dict[str, Any]) -> None:
        table["stages"] = [{**s, "steps": 2} for s in table["stages"] if s["kind"] == "upt"]
        table["guard"] = {"enabled": False}
        del table["evaluation"]

    run_recipe(load_recipe(str(micro(edit))))
    assert told == [
        "generate", "release", "move",  # step 1
        "release", "move",  # back to the start
        "generate", "release", "move",  # step 2
        "release",  # nobody samples for a while
    ]  # fmt: skip
