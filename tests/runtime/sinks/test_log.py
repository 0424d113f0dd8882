"""What sinks are told: everything once, over kills and resumes; and what becomes of a sink that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mmupt.runtime.sinks.log as sink_log
from mmupt.errors import ConfigError
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog, read_metrics
from mmupt.runtime.sinks.settings import MlflowSettings, SinkSettings, WandbSettings

Told = list[tuple[Any, ...]]
Open = Callable[..., MetricsLog]
RESULT = {"stage": "upt", "set": "world:test", "n": 600, "k": 8, "mean@8": 0.5, "mean@8_interval": [0.4, 0.6]}


def step(stage: str, number: int, **values: Any) -> dict[str, Any]:
    return {"stage": stage, "kind": "upt", "step": number, **values}


def test_steps_are_told_with_their_numbers_alone(open_noting: Open, told: Told, layout: RunLayout) -> None:
    with open_noting() as log:
        log.append(step("upt", 1, reward=0.5, tokens=7, odd=float("nan"), note="text", yes=True))
    assert told[0] == ("begin", "mine", None) and told[-1] == ("end", True)
    ((_, series, number, values),) = told[1:-1]
    assert (series, number, set(values)) == ("upt", 1, {"reward", "tokens", "odd"})
    assert len(read_metrics(layout.metrics)) == 1


def test_a_resumed_run_tells_nothing_twice(open_noting: Open, told: Told) -> None:
    """Killed behind step 5 of upt, resumed from the checkpoint of step 3."""
    log = open_noting()
    log.append(step("sft", 1))
    for number in range(1, 6):
        log.append(step("upt", number, reward=float(number)))
    log.close()  # without `end`, as after a kill
    with open_noting() as log:
        log.truncate_after("upt", 3, ["sft", "upt"])
        for number in range(4, 8):
            log.append(step("upt", number, reward=-1.0))
    assert ("begin", "mine", "id-1") in told
    seen = [what[1:3] for what in told if what[0] == "figures"]
    assert seen == [("sft", 1), *(("upt", n) for n in range(1, 8))]


def test_measurements_are_told_once_and_numbered(open_noting: Open, told: Told) -> None:
    with open_noting() as log:
        log.measured({**RESULT, "stage": "base"})
        log.measured({**RESULT, "set": "other"})
    with open_noting() as log:  # both are taken over, then comes a new one
        log.measured({**RESULT, "stage": "base"})
        log.measured({**RESULT, "set": "other"})
        log.measured(RESULT)
    figures = [what[1:] for what in told if what[0] == "figures"]
    only = {"mean@8": 0.5}
    assert figures == [("eval/world:test", 0, only), ("eval/other", 0, only), ("eval/world:test", 1, only)]
    events = [what for what in told if what[0] == "event"]
    assert events[-1] == ("event", "eval/world:test", 1, "eval/world:test 1 is the model upt") and len(events) == 3


def test_the_guards_events_are_told_as_they_come(
    open_noting: Open, told: Told, guard_says: Callable[[list[tuple[int, str]]], None]
) -> None:
    with open_noting() as log:
        guard_says([])
        log.append(step("upt", 1))
        guard_says([(2, "share has risen")])
        log.append(step("upt", 2))
        log.append(step("upt", 3))
    with open_noting() as log:
        log.append(step("upt", 3))
        guard_says([(2, "share has risen"), (4, "went back")])
        log.append(step("upt", 4))
        guard_says([(2, "share has risen"), (4, "went back"), (4, "at the end")])
    events = [what[1:] for what in told if what[0] == "event"]
    assert events == [
        ("upt", 2, "guard: share has risen"), ("upt", 4, "guard: went back"), ("upt", 4, "guard: at the end"),
    ]  # fmt: skip


@pytest.mark.parametrize("fails", ["begin", "figures", "event", "end"])
def test_a_sink_that_fails_is_told_of_once_and_left_alone(
    open_noting: Open, told: Told, notes: list[str], layout: RunLayout, fails: str
) -> None:
    with open_noting(fails) as log:
        for number in range(1, 4):
            log.append(step("upt", number))
            log.measured(RESULT)
    assert len(read_metrics(layout.metrics)) == 3
    (note,) = notes
    assert note.startswith(
        f"sinks.noting failed and is told nothing more in this run (ConnectionError: no network for {fails})"
    )
    assert not [what for what in told if what[0] == "end"]


def test_an_error_of_the_run_is_its_own(open_noting: Open, told: Told) -> None:
    with pytest.raises(ZeroDivisionError), open_noting():
        _ = 1 / 0
    assert told[-1] == ("end", False)


def test_an_interruption_inside_a_sink_interrupts(open_noting: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_noting()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(log._sinks["noting"], "figures", interrupt)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        log.append(step("upt", 1))


def test_without_sinks_the_log_is_the_plain_one(layout: RunLayout) -> None:
    for settings in (None, SinkSettings()):
        with sink_log.open_log(settings, layout, "mine", {}, print) as log:
            assert type(log) is MetricsLog
            log.measured(RESULT)
    assert [file.name for file in layout.root.iterdir()] == ["metrics.jsonl"]


def test_missing_packages_are_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SinkSettings(tensorboard=True, wandb=WandbSettings(), mlflow=MlflowSettings())
    monkeypatch.setattr(sink_log, "find_spec", lambda name: None if name != "tensorboard" else object())
    with pytest.raises(ConfigError) as caught:
        sink_log.check_sinks(settings)
    assert 'sinks.wandb: not installed; pip install "mmupt[wandb]", or leave it out' in str(caught.value)
    assert "sinks.mlflow" in str(caught.value) and "sinks.tensorboard" not in str(caught.value)
    sink_log.check_sinks(SinkSettings())
