"""However many processes: the same losses and the same weights, and a run that goes on in another number of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.processes.conftest import REPLICA, SHARDED, UPT, Group, apart, weights

from mmupt.data.writer import write_jsonl
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.types import PreferencePair
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other suffer most on a machine that is busy

CLOSE = 1e-5
Recipe = Callable[..., Path]
Work = Callable[..., list[Any]]


def same_training(one: Path, many: Path, stage: str, start: Path) -> None:
    """Losses, gradient norms and weights within CLOSE, of weights that have moved twenty times as far."""
    pairs = list(zip(read_metrics(one / "metrics.jsonl"), read_metrics(many / "metrics.jsonl"), strict=True))
    for alone, together in pairs:
        for name in ("loss", "grad_norm", "kl", "entropy", "tokens"):
            if name in alone:
                assert together[name] == pytest.approx(alone[name], rel=1e-4, abs=CLOSE), (stage, alone["step"], name)
    assert apart(weights(one, stage), weights(many, stage)) < CLOSE, stage
    assert apart(weights(one, stage), load_file(start / "model.safetensors")) > 20 * CLOSE, stage


def test_one_two_and_four_processes_train_the_same(
    recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path
) -> None:
    """Five steps of two updates each. Of four processes some have nothing to do: an update has two or three groups."""
    path = recipe("upt", UPT)
    runs = {size: tmp_path / f"on-{size}" for size in (1, 2, 4)}
    sharded = tmp_path / "sharded"
    groups = [Group(size).run(path, run, *REPLICA) for size, run in runs.items()]
    for ended in work(*groups, Group(2).run(path, sharded, *SHARDED)):
        assert set(ended.codes) == {0}, ended.said
    same_training(runs[1], sharded, "upt", tiny_folder)
    for size in (2, 4):
        same_training(runs[1], runs[size], "upt", tiny_folder)
        last = read_metrics(runs[size] / "metrics.jsonl")[-1]
        assert last["ranks"] == size and 0 <= float(str(last["rank_slowest"])) < size
        assert float(str(last["rank_seconds_max"])) >= float(str(last["rank_seconds_median"])) > 0
    assert "ranks" not in read_metrics(runs[1] / "metrics.jsonl")[-1]


@pytest.mark.slow  # 20 s on two cores
def test_four_processes_that_hold_nothing_whole_train_the_same(
    recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path
) -> None:
    """With a reference: idle processes go through both models. Biases are shorter than there are processes to cut
    them for evenly, and a vocabulary of 313 is odd."""
    path = recipe("upt", {**UPT, "algo": {"kl_coef": 0.5}})
    runs = {size: tmp_path / f"on-{size}" for size in (1, 4)}
    for ended in work(*(Group(size).run(path, run, *SHARDED) for size, run in runs.items())):
        assert set(ended.codes) == {0}, ended.said
    same_training(runs[1], runs[4], "upt", tiny_folder)


def test_other_kinds_of_training_are_the_same_too(
    recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path
) -> None:
    """A reference model and a frozen tower; an adapter; worked answers, with checkpointing; preferences."""
    rows = world_split(WorldSettings(sft_size=7), "sft")
    pairs = [PreferencePair(b.prompt, f"{b.solution}", f"{a.solution}?") for a, b in pairwise(rows)]
    chosen = write_jsonl(tmp_path / "pairs", "train", pairs)
    # AdamW's first step makes as much of a gradient of 1e-8 as of any other; eps keeps float error from deciding it.
    learning = {"batch_size": 6, "optimizer": {"lr": 3e-4, "eps": 1e-6}}
    short = {**UPT, "steps": 2, "algo": {"kl_coef": 0.5}}
    recipes = {
        "frozen": recipe("frozen", short, model={"freeze": ["vision", "projector"]}),
        "adapter": recipe("adapter", {**short, "optimizer": {"lr": 3e-3}}, model={"lora": {"rank": 4}}),
        "solutions": recipe(
            "solutions",
            {"kind": "sft", "name": "sft", "data": {"path": "world:sft"}, **learning},
            model={"gradient_checkpointing": True},
        ),
        "preferences": recipe("preferences", {"kind": "dpo", "name": "dpo", "data": {"path": str(chosen)}, **learning}),
    }
    stages = {"frozen": "upt", "adapter": "upt", "solutions": "sft", "preferences": "dpo"}
    groups = {"alone": Group(1), "replica": Group(2), "sharded": Group(2)}
    for name, path in recipes.items():
        for layout, flags in (("alone", ()), ("replica", REPLICA), ("sharded", SHARDED)):
            groups[layout] = groups[layout].run(path, tmp_path / f"{name}-{layout}", *flags)
    for ended in work(*groups.values()):
        assert set(ended.codes) == {0}, ended.said
    for name, stage in stages.items():
        for layout in ("replica", "sharded"):
            same_training(tmp_path / f"{name}-alone", tmp_path / f"{name}-{layout}", stage, tiny_folder)


def test_a_checkpoint_of_two_processes_goes_on_in_any_number(
    recipe: Recipe, work: Work, tmp_path: Path, tiny_folder: Path
) -> None:
    """Interrupted in step 4, behind the checkpoint of step 2, which holds shards of the optimiser's state; and one
    process's checkpoint goes on in two. In either layout from either."""
    path = recipe("upt", UPT)
    calm, replica, sharded, alone = (tmp_path / name for name in ("calm", "replica", "sharded", "alone"))
    two = Group(2).run(path, calm, *REPLICA).run(path, replica, *REPLICA, stop=4)
    first = work(two, Group(2).run(path, sharded, *SHARDED, stop=4), Group(1).run(path, alone, stop=4))
    assert [set(ended.codes) for ended in first] == [{130}] * 3, first
    for stopped in (replica, sharded):
        shards = sorted((RunLayout(stopped).checkpoint("upt", 2) / "optimizer").glob("*.safetensors"))
        assert len(shards) == 2, "each process has written its own"
    assert (RunLayout(alone).checkpoint("upt", 2) / "optimizer.safetensors").exists()

    goes_on = (
        (replica, 1, ()),
        (replica, 3, SHARDED),
        (sharded, 1, ()),
        (sharded, 2, REPLICA),
        (sharded, 3, SHARDED),
        (alone, 2, REPLICA),
        (alone, 2, SHARDED),
    )
    resumed, groups = {}, []
    for number, (stopped, size, flags) in enumerate(goes_on):
        name = f"{number}: {stopped.name} in {size} {flags[-1:]}"
        resumed[name] = shutil.copytree(stopped, tmp_path / f"resumed-{number}")
        groups.append(Group(size).run(path, resumed[name], "--resume", *flags))
    for ended in work(*groups):
        assert set(ended.codes) == {0}, ended.said
    for name, run in resumed.items():
        assert [m["step"] for m in read_metrics(run / "metrics.jsonl")] == [1, 2, 3, 4, 5], name
        same_training(calm, run, "upt", tiny_folder)
