"""Of the sharded layout: what a process holds, and what it leaves on the disk."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.processes.conftest import REPLICA, SHARDED, UPT, Group, apart, weights

from mmupt.evals.records import read_records
from mmupt.runtime.layout import RunLayout

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other suffer most on a machine that is busy

Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]

STILL = {**UPT, "steps": 2, "checkpoint_every": 1, "optimizer": {"lr": 1e-60}}
OWN = {"optimizer", "state", "manifest"}
"""Stems of a checkpoint's files and folders that are not the model's."""


def test_nothing_is_whole_in_an_update(recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path) -> None:
    """Half of the model in each of two processes, beside it, in a row, embedding, head and merger; and while it samples
    a copy in bf16, whose embedding (the head as well, here) and norms are fp32."""
    path = recipe("upt", {**UPT, "steps": 1}, model={"dtype": "bfloat16"})
    weighed = {name: tmp_path / f"{name}.jsonl" for name in ("sharded", "replica")}
    flags = {"sharded": SHARDED, "replica": REPLICA}
    groups = [Group(2).run(path, tmp_path / n, *flags[n], weigh=str(file)) for n, file in weighed.items()]
    for ended in work(*groups):
        assert set(ended.codes) == {0}, ended.said
    weights = load_file(tiny_folder / "model.safetensors")
    whole = sum(4 * w.numel() for w in weights.values())
    root = sum(4 * w.numel() for name, w in weights.items() if ".layers." not in name and ".blocks." not in name)

    found = {name: _heaviest(file) for name, file in weighed.items()}
    assert set(found["sharded"]) == {"sampling", "row", "update"}
    before, behind = found["sharded"]["update"]
    assert before < 0.51 * whole and behind < 0.51 * whole, "what was whole for sampling is let go"
    before, behind = found["sharded"]["row"]
    assert before < 0.51 * whole, "rows of an update begin with shards alone"
    assert 0.5 * whole + root <= behind < 0.51 * whole + root, "and gather no more than a layer at a time"
    before, _ = found["sharded"]["sampling"]
    assert whole < before < 1.2 * whole, "half in fp32, and all in bf16 but for the embedding"
    before, _ = found["replica"]["update"]
    assert 1.5 * whole <= before < 1.51 * whole, "a whole copy beside the shards: the weighing sees one"


def test_folders_are_the_same_bytes(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    """At a learning rate that moves nothing, not even a zero: what a stage hands on, and a checkpoint inside it. Of an
    adapter as well, whose stage begins and ends as an ordinary model."""
    recipes = {
        "full": recipe("full", STILL, checkpoints={"keep_at_end": True}),
        "adapter": recipe("adapter", STILL, model={"lora": {"rank": 4}}, checkpoints={"keep_at_end": True}),
    }
    groups = {"alone": Group(1), "replica": Group(2), "sharded": Group(2)}
    for name, path in recipes.items():
        for layout, flags in (("alone", ()), ("replica", REPLICA), ("sharded", SHARDED)):
            groups[layout] = groups[layout].run(path, tmp_path / f"{name}-{layout}", *flags)
    for ended in work(*groups.values()):
        assert set(ended.codes) == {0}, ended.said
    for name in recipes:
        for step in (1, 2):
            alone, *others = (
                _files(RunLayout(tmp_path / f"{name}-{layout}").checkpoint("upt", step)) for layout in groups
            )
            assert any(file.endswith(".safetensors") for file in alone)
            for other in others:
                assert other == alone, (name, step)


@pytest.mark.slow  # 25 s on two cores
def test_an_averaged_teacher_and_stages_with_adapters(recipe: Recipe, work: Work, tmp_path: Path) -> None:
    """The average is shards where the policy is, and whole in a checkpoint, from which either layout goes on. Of two
    stages with an adapter each the second begins where the first has ended, and is measured behind it."""
    reward = {"name": "combined", "terms": [{"name": "random"}, {"name": "ema_vote"}]}
    average = recipe("average", {**UPT, "steps": 3, "reward": reward}, checkpoints={"keep_at_end": True})
    stages = [{**UPT, "name": name, "steps": 1, "algo": {"kl_coef": 0.5}} for name in ("first", "second")]
    measured = {"samples": 1, "max_new_tokens": 6, "prompts_at_once": 3, "data": {"path": "world:test"}}
    adapters = recipe("adapters", *stages, model={"lora": {"rank": 4}}, evaluation=measured)
    runs = {(name, size): tmp_path / f"{name}-{size}" for name in ("average", "adapters") for size in (1, 2)}
    one = Group(1).run(average, runs["average", 1]).run(adapters, runs["adapters", 1])
    two = Group(2).run(adapters, runs["adapters", 2], *SHARDED).run(average, runs["average", 2], *SHARDED, stop=3)
    alone, together = work(one, two)
    assert set(alone.codes) == {0} and set(together.codes) == {130}, (alone.said, together.said)
    average_of = [load_file(RunLayout(runs["average", n]).checkpoint("upt", 2) / "reward.safetensors") for n in (1, 2)]
    assert apart(*average_of) < 1e-6, "of every weight, whole"
    for layout in (REPLICA, SHARDED):
        shutil.copytree(runs["average", 2], tmp_path / layout[-1])
    for ended in work(*(Group(2).run(average, tmp_path / x[-1], "--resume", *x) for x in (REPLICA, SHARDED))):
        assert set(ended.codes) == {0}, ended.said
    for layout in (REPLICA, SHARDED):
        assert apart(weights(runs["average", 1], "upt"), weights(tmp_path / layout[-1], "upt")) < 1e-5
    assert apart(weights(runs["adapters", 1], "second"), weights(runs["adapters", 2], "second")) < 1e-5
    assert apart(weights(runs["adapters", 1], "second"), weights(runs["adapters", 1], "first")) > 1e-5
    answers = [read_records(RunLayout(runs["adapters", n]).eval_parquet("second"), ["id", "samples"]) for n in (1, 2)]
    assert answers[0] == answers[1] and len(answers[0]) == 5


def _heaviest(file: Path) -> dict[str, tuple[int, int]]:
    """The most bytes of any process (before, behind) each kind of call."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in file.read_text().splitlines():
        entry = json.loads(line)
        found[entry["where"]].append((entry["before"], entry["behind"]))
    return {where: (max(b for b, _ in all_), max(a for _, a in all_)) for where, all_ in found.items()}


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if Path(name).parts[0].split(".")[0] not in OWN}
