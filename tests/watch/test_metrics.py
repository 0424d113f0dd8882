"""The log as it grows: the same records as `read_metrics`, however often and at whatever moment one asks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mmupt.runtime.metrics import MetricsLog, read_metrics
from mmupt.watch import metrics
from mmupt.watch.metrics import metrics_since


class Reader:
    """Takes answers in as the page does."""

    def __init__(self, path: Path) -> None:
        self.path, self.place, self.damaged = path, "", 0
        self.stages: dict[str, list[tuple[float, float | None]]] = {}

    def poll(self) -> None:
        while True:
            news = metrics_since(self.path, self.place)
            if news["reset"]:
                self.stages.clear()
            for name, part in news["stages"].items():
                values = part.get("reward", [None] * len(part["step"]))
                self.stages.setdefault(name, []).extend(zip(part["step"], values, strict=True))
            self.place, self.damaged = news["next"], self.damaged + news["damaged"]
            if not news["more"]:
                return


def truth(path: Path) -> dict[str, list[Any]]:
    stages: dict[str, list[Any]] = {}
    for record in read_metrics(path):
        value = record.get("reward")
        ok = isinstance(value, float) and abs(value) < float("inf")
        stages.setdefault(str(record["stage"]), []).append(
            (record["step"], pytest.approx(value, rel=1e-5) if ok else None)
        )
    return stages


@pytest.mark.parametrize("at_once", [50, 4 * 2**20])
def test_any_moment_of_a_growing_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(metrics, "_AT_ONCE", at_once)
    rng, path = random.Random(0), tmp_path / "metrics.jsonl"
    reader, step = Reader(path), 0
    reader.poll()  # before there is a log
    with MetricsLog(path) as log:
        for _ in range(200):
            step += 1
            reward = rng.choice([rng.random(), float("nan"), float("inf"), None])
            fields = {} if reward is None else {"reward": reward}
            log.append({"stage": rng.choice(["rl", "upt"]), "kind": "upt", "step": step, **fields})
            if rng.random() < 0.05 and step > 20:  # a run that was resumed goes back
                step -= 15
                log.truncate_after("upt", step, ["rl", "upt"])
            if rng.random() < 0.3:
                reader.poll()
                assert reader.stages == truth(path)
    reader.poll()
    assert reader.stages == truth(path) and reader.damaged == 0


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": "upt", "kind": "upt", "step": 1, "reward": 0.5}\n{"stage": "upt", "st')
    reader = Reader(path)
    reader.poll()
    assert reader.stages == {"upt": [(1, 0.5)]}
    with path.open("ab") as file:
        file.write(b'ep": 2, "reward": 1}\n')
    reader.poll()
    assert reader.stages == {"upt": [(1, 0.5), (2, 1.0)]}


def test_damaged_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [
        b"\xff\xfe",
        b"[1]",
        b"3",
        b'{"stage": 1}',
        b'{"step": "nan"}',
        b"[" * 100_000,
        b'{"stage": "a", "step": 1}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    reader = Reader(path)
    reader.poll()
    assert reader.damaged == 6 and reader.stages == {"a": [(1, None)]}


@pytest.mark.parametrize("place", ["", "x", "1-2:3", "1-2:999999", ":", "a:b:c", "1-2:-5"])
def test_a_place_that_means_nothing_is_the_beginning(tmp_path: Path, place: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": "a", "step": 1}\n')
    news = metrics_since(path, place)
    assert news["stages"]["a"]["step"] == [1] and news["reset"] == (place != "")
