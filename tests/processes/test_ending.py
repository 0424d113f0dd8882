"""What goes wrong in one process ends all of them, and is said once, with its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.processes.conftest import UPT, Group, apart, weights

from mmupt.runtime.layout import RunLayout

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other suffer most on a machine that is busy

Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]


def test_an_error_of_one_process_ends_all_of_them(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    path = recipe("upt", {**UPT, "steps": 1})
    faults = ("sampling", "forward", "nan", "other advantages")
    groups = [Group(2).run(path, tmp_path / f"run-{n}", fail=[1, how]) for n, how in enumerate(faults)]
    made = {"kind": "targets", "name": "own", "keep": "data", "describe": True, "data": {"path": "world:sft"}}
    rows = recipe("made", {**made, "rollout": UPT["rollout"]})
    sampling, forward, nan, other, led = work(*groups, Group(2).run(rows, tmp_path / "made", fail=[1, "sampling"]))

    for ended in (sampling, led):  # the second in what the first process leads
        assert ended.codes == [2, 2]
        assert ended.said.count("error:") == 1 and "error: rank 1: the card is on fire" in ended.said

    assert forward.codes == [1, 1]
    assert forward.said.count("Traceback") == 1 and "ZeroDivisionError: a bug" in forward.said
    assert "rank 1:\n" in forward.said

    assert nan.codes == [2, 2]
    assert nan.said.count("error:") == 1 and "loss nan" in nan.said
    assert "(rank 1)" in nan.said and "(rank 0)" not in nan.said, "those of the process whose loss it was"

    assert other.codes == [2, 2]
    assert other.said.count("error:") == 1 and "upt, step 1: rank 1 and rank 0 have come to" in other.said


def test_one_that_is_asked_to_end_ends_all_behind_the_same_step(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    """SIGTERM in rank 1 alone, in step 3, whose checkpoint is not due; and on to the weights of a run left alone."""
    path = recipe("upt", UPT)
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    alone, ended = work(Group(2).run(path, calm), Group(2).run(path, stopped, fail=[1, "asked to end"]))
    assert alone.codes == [0, 0], alone.said
    assert ended.codes == [143, 143], ended.said
    assert ended.said.count("stopped by SIGTERM; continue under torchrun with: mmupt run") == 1
    assert "Traceback" not in ended.said
    assert max(RunLayout(stopped).checkpoints("upt").iterdir()).name == "step-000003"
    (resumed,) = work(Group(2).run(path, stopped, "--resume"))
    assert resumed.codes == [0, 0], resumed.said
    assert apart(weights(calm, "upt"), weights(stopped, "upt")) == 0.0


def test_what_one_process_alone_can_do_is_refused(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    shared = {**UPT, "rollout": {**UPT["rollout"], "engine": "vllm", "vllm": {"tensor_parallel": 2}}}
    path = recipe("vllm", shared)  # processes that nobody has counted a node's for, so none is known to be a neighbour
    offload = recipe("offload", UPT, processes={"cpu_offload": True})
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "run.json").write_text("{}")
    evaluation = Group(2, [{"argv": ["eval", "--help"]}])
    ended = work(
        Group(2).run(path, tmp_path / "vllm"),
        Group(2).run(offload, tmp_path / "offload"),
        Group(2).run(offload, taken),
        evaluation,
    )
    for each, words in zip(
        ended, ("vllm.tensor_parallel = 2", "cpu_offload", "already holds a run", "in one process"), strict=True
    ):
        assert each.codes == [2, 2], each.said
        assert words in each.said
    assert all(each.said.count("error:") == 1 for each in ended[:3])
    assert not any((tmp_path / "vllm").iterdir()) and not any((tmp_path / "offload").iterdir())
