"""The page about scaling shows what `mmupt plan` says today."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "plan_scaling.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan_scaling", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_tables_are_current(script: ModuleType) -> None:
    """If this fails: python benchmarks/plan_scaling.py --write, and read what the page says around its tables again."""
    assert script.on_page(script.PAGE.read_text(encoding="utf-8")) == script.tables()


def test_what_the_page_says_of_its_tables(script: ModuleType) -> None:
    """The claims of "Where it stops, and why"."""
    plans = {n: script.planned([*script.BASE, "--gpus", str(n)])["stages"][0] for n in script.COUNTS}
    more = {n: script.planned([*script.BASE, *script.LARGER, "--gpus", str(n)])["stages"][0] for n in script.COUNTS}
    update = {n: plan["memory_bytes"]["update"]["total"] for n, plan in plans.items()}
    assert update[512] - update[4096] < 0.05 * update[512] < update[16] - update[64]  # it stops shrinking
    assert plans[4096]["seconds_a_step"] > plans[512]["seconds_a_step"]
    assert [plan["fits"] for plan in plans.values()] == [False, False, True, True]
    for gpus, fits in ((128, False), (256, True)):
        assert script.planned([*script.BASE, "--gpus", str(gpus)])["stages"][0]["fits"] is fits
    assert script.planned([*script.BASE, "--gpus", "16", "--offload"])["stages"][0]["fits"]
    assert "idle" in plans[512]["bound_by"]["backward"] and plans[512]["fewest_as_fast"] <= 256
    assert plans[64]["seconds_a_step"] * 64 < 1.15 * plans[16]["seconds_a_step"] * 16
    assert more[512]["seconds_a_step"] * 512 < 1.3 * more[16]["seconds_a_step"] * 16
    handed_over = {n: plan["seconds"]["hand-over"] for n, plan in plans.items()}
    assert handed_over[4096] == pytest.approx(27, abs=0.5) and handed_over[4096] > 5 * handed_over[512]


def test_the_sentence_about_the_published_run(script: ModuleType) -> None:
    arguments = "mm-upt-paper --gpus 8 --gpu A800 --layout sharded --prompt-tokens 700 --response-tokens 400 --set"
    assert " ".join(arguments.split()) in " ".join(script.PAGE.read_text(encoding="utf-8").split())
    stage = script.planned([*arguments.split(), "stages.upt.rollout.engine=vllm"])["stages"][0]
    assert round(80 * stage["seconds_a_step"] / 3600) == 7
