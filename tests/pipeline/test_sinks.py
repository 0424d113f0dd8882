"""A run with a sink: steps, the guard's events and measurements are told once, over a failure and a resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import mmupt.runtime.sinks.log as sink_log
from mmupt.errors import ConfigError, TrainingError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.runtime.sinks.base import About, Sink

Micro = Callable[..., Path]
CODE = """seen = []
def f(group):
    seen.append(group)
    if len(seen) > LAST:
        raise ValueError("enough")
    return [float(n) for n in group.lengths]
"""


class Noting(Sink):
    package: ClassVar[str] = "json"

    def __init__(self, told: list[tuple[Any, ...]]) -> None:
        self.told = told

    def begin(self, about: About, run_id: str | None) -> str | None:
        self.told.append(("begin", about.name, run_id, about.recipe["seed"]))
        return "here"

    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self.told.append(("figures", series, step, dict(values)))

    def event(self, series: str, step: int, text: str) -> None:
        self.told.append(("event", series, step, text))

    def end(self, *, finished: bool) -> None:
        self.told.append(("end", finished))


def only_upt(table: dict[str, Any]) -> None:
    table["stages"] = [s for s in table["stages"] if s["kind"] in ("upt", "eval")]
    table["stages"][0].update(reward={"name": "rewards.py:f"}, checkpoint_every=3, guard={"enabled": False})
    table["sinks"] = {"tensorboard": True}


def test_everything_is_told_once(micro: Micro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sink_log, "make_sinks", lambda settings: {"noting": Noting(told)} if settings else {})
    (tmp_path / "rewards.py").write_text(CODE.replace("LAST", "16"))
    recipe = str(micro(only_upt))
    with pytest.raises(TrainingError, match="enough"):
        run_recipe(load_recipe(recipe))
    (tmp_path / "rewards.py").write_text(CODE.replace("LAST", "999"))
    run = RunLayout(run_recipe(load_recipe(recipe), resume=True))

    assert [what for what in told if what[0] in ("begin", "end")] == [
        ("begin", "micro", None, 5), ("end", False), ("begin", "micro", "here", 5), ("end", True),
    ]  # fmt: skip
    figures = [what[1:3] for what in told if what[0] == "figures"]
    assert figures == [*(("upt", step) for step in range(1, 7)), ("eval/world:test", 0)]
    reward = {what[2]: what[3]["reward"] for what in told if what[1] == "upt"}
    assert [m["reward"] for m in read_metrics(run.metrics)] == list(reward.values())
    assert ("event", "eval/world:test", 0, "eval/world:test 0 is the model after") in told


def test_a_missing_package_stops_before_anything_is_written(
    micro: Micro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_log, "find_spec", lambda name: None)
    (tmp_path / "rewards.py").write_text(CODE.replace("LAST", "999"))
    with pytest.raises(ConfigError, match=r"mmupt\[tensorboard\]"):
        run_recipe(load_recipe(str(micro(only_upt))))
    assert not (tmp_path / "run").exists()
