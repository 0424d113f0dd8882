"""Servers sample for several processes as for one: the first process alone knows them, and all have all rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.server.conftest import TOKEN, Backend, Running
from tests.processes.conftest import REPLICA, SHARDED, UPT, Group, apart, weights

from mmupt.models.loading import load_model
from mmupt.models.settings import ModelSettings
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other suffer most on a machine that is busy

CLOSE = 1e-5
Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]


@pytest.fixture
def server(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Of the HF engine, with weights that are no numbers until a run brings its own."""
    monkeypatch.setenv("MMUPT_SERVER_TOKEN", TOKEN)
    loaded = load_model(str(tiny_folder), ModelSettings(path=str(tiny_folder)), torch.device("cpu"))
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.fill_(torch.nan)
    running = Running(Backend(loaded), tmp_path / "spool").start()
    yield running
    running.stop()


def sampled_by(url: str) -> dict[str, Any]:
    return {
        **UPT["rollout"],
        "engine": "server",
        "servers": [url],
        "server": {"engine": "hf", "retries": 1, "pause": 0.01},
    }


def test_servers_sample_the_same_for_one_process_and_for_two(
    recipe: Recipe, work: Work, tmp_path: Path, server: Running
) -> None:
    """Rows that a stage makes, which the first process leads, and three steps; against the HF engine in one process."""
    made = {
        "kind": "targets",
        "name": "own",
        "keep": "data",
        "describe": True,
        "data": {"path": "world:sft", "limit": 4},
    }

    def stages(rollout: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**made, "rollout": rollout}, {**UPT, "steps": 3, "rollout": rollout}]

    alone, served = recipe("alone", *stages(UPT["rollout"])), recipe("served", *stages(sampled_by(server.url)))
    hf, one, two, whole = (RunLayout(tmp_path / name) for name in ("hf", "one", "two", "whole"))
    groups = (Group(1).run(served, one.root), Group(2).run(served, two.root, *SHARDED))
    again = Group(2).run(served, whole.root, *REPLICA)
    for ended in work(Group(1).run(alone, hf.root), *groups, again):
        assert set(ended.codes) == {0}, ended.said
    rows = [(run.made("own") / "train.jsonl").read_bytes() for run in (hf, one, two, whole)]
    assert all(made == rows[0] for made in rows)
    for run in (one, two, whole):
        for step in (1, 2, 3):
            theirs, ours = (read_groups(r.groups("upt", step)) for r in (run, hf))
            assert [g["responses"] for g in theirs] == [g["responses"] for g in ours], (run, step)
        for said, expected in zip(read_metrics(run.metrics), read_metrics(hf.metrics), strict=True):
            if "loss" in expected:
                assert said["loss"] == pytest.approx(expected["loss"], rel=1e-4, abs=CLOSE)
                assert float(str(said["mismatch_max"])) < CLOSE, "of the weights before the update"
        assert apart(weights(run.root, "upt"), weights(hf.root, "upt")) < CLOSE
    # All runs have said the same: the second process of two has said nothing.
    third = len(server.calls) // 3
    said_each = [server.calls[i * third : (i + 1) * third] for i in range(3)]
    assert said_each[0] == said_each[1] == said_each[2] and len(server.calls) == 3 * third
    assert said_each[0].count("take") == 4


def test_a_server_that_dies_ends_all_processes_with_one_message(
    recipe: Recipe, work: Work, tmp_path: Path, server: Running
) -> None:
    """In the second step, for good; before the run; and a run that has no secret."""
    path = recipe("served", {**UPT, "rollout": sampled_by(server.url)})
    nobody = recipe("nobody", {**UPT, "rollout": sampled_by("http://127.0.0.1:1")})

    def dies() -> None:
        if len(server.backend.asked) > 1:
            raise ConnectionError("the machine is gone")

    server.backend.before = dies
    died, absent = work(Group(2).run(path, tmp_path / "died"), Group(2).run(nobody, tmp_path / "absent"))
    for ended, words in ((died, f"no rollout server answers ({server.url}: "), (absent, "no rollout server answers (")):
        assert ended.codes == [2, 2], ended.said
        assert ended.said.count("error:") == 1 and words in ended.said
        assert "Traceback" not in ended.said
    assert [m["step"] for m in read_metrics(tmp_path / "died" / "metrics.jsonl")] == [1]
    assert not any((tmp_path / "absent").iterdir()), "nothing is made before the servers are there"
