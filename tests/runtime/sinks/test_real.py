"""The sinks with the packages they are for, where those are installed: what was told is read back, over a resume."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.runtime.layout import RunLayout
from mmupt.runtime.sinks.log import open_log
from mmupt.runtime.sinks.settings import MlflowSettings, SinkSettings, WandbSettings

RESULT = {"stage": "upt", "set": "world:test", "n": 600, "k": 8, "mean@8": 0.5}


def needs(package: str, extra: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed (pip install mmupt[{extra}])")


def log_and_resume(
    settings: SinkSettings, layout: RunLayout, guard_says: Callable[[list[tuple[int, str]]], None]
) -> list[str]:
    """Five steps, stopped; on from the third, to the seventh, and measured. Returns what the user was told."""
    notes: list[str] = []
    recipe = {"name": "mine", "seed": 3, "model": {"path": "world:tiny"}}
    log = open_log(settings, layout, "mine", recipe, notes.append)
    with pytest.raises(RuntimeError), log:
        for step in range(1, 6):
            log.append({"stage": "upt", "kind": "upt", "step": step, "reward": step / 10})
        raise RuntimeError("killed")
    with open_log(settings, layout, "mine", recipe, notes.append) as log:
        log.truncate_after("upt", 3, ["upt"])
        guard_says([(4, "share has risen")])
        for step in range(4, 8):
            log.append({"stage": "upt", "kind": "upt", "step": step, "reward": step / 10})
        log.measured(RESULT)
    return notes


@needs("tensorboard", "tensorboard")
def test_tensorboard(layout: RunLayout, guard_says: Any) -> None:
    assert log_and_resume(SinkSettings(tensorboard=True), layout, guard_says) == []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(layout.root / "tensorboard"))
    events.Reload()
    points = [(point.step, pytest.approx(point.value)) for point in events.Scalars("upt/reward")]
    assert points == [(step, step / 10) for step in range(1, 8)]
    assert [(p.step, p.value) for p in events.Scalars("eval/world:test/mean@8")] == [(0, 0.5)]
    (told,) = events.Tensors("upt/events/text_summary")
    assert told.tensor_proto.string_val == [b"guard: share has risen"]


@needs("wandb", "wandb")
def test_wandb_offline(layout: RunLayout, guard_says: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = SinkSettings(wandb=WandbSettings(project="p", mode="offline", tags=("a",)))
    assert log_and_resume(settings, layout, guard_says) == []
    folders = sorted((layout.root / "wandb").glob("offline-run-*"))
    names = {folder.name.rpartition("-")[2] for folder in folders}
    assert len(names) == 1, "one run, whoever continues it"
    deadline, rows = time.monotonic() + 30, []
    while len(rows) < 8 and time.monotonic() < deadline:  # wandb's own process writes on behind `finish`
        rows = [row for folder in folders for file in folder.glob("*.wandb") for row in history(file)]
    assert [(row["upt/step"], row["upt/reward"]) for row in rows if "upt/step" in row] == [
        (step, step / 10) for step in range(1, 8)
    ]
    assert [row["eval/world:test/mean@8"] for row in rows if "eval/world:test/step" in row] == [0.5]


def history(file: Path) -> list[dict[str, Any]]:
    """The rows of an offline run. The file is a LevelDB log of protobuf records behind seven bytes of wandb's own."""
    import json

    from wandb.proto import wandb_internal_pb2

    data, rows, at, whole = file.read_bytes(), [], 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:  # no room for a header: the rest of a block is padding
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if at + 7 + size > len(data):
            break  # still being written
        whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
        if kind not in (1, 4):  # full, last
            continue
        record, whole = wandb_internal_pb2.Record.FromString(whole), b""
        if record.HasField("history"):
            rows.append({i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
    return rows


@needs("mlflow", "mlflow")
def test_mlflow_file_store(layout: RunLayout, guard_says: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    settings = SinkSettings(mlflow=MlflowSettings(tracking_uri=uri, experiment="e"))
    assert log_and_resume(settings, layout, guard_says) == []
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("e")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["seed"] == "3"
    points = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "upt/reward")]
    assert sorted(points) == [(step, step / 10) for step in range(1, 8)]
    assert run.data.metrics["eval/world_test/mean_at_8"] == 0.5
    assert run.data.tags["upt/event at step 4"] == "guard: share has risen"
