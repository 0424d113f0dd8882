"""Ten thousand hostile texts, read in a process of its own: none hangs it, crashes it or fills its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mmupt.answers.equivalence import canonical, same

HOSTILE_TEXTS = Path(__file__).with_name("hostile_texts.py")
PACKAGE = Path(__file__).resolve().parents[2] / "src"


def fuzz(seed: int, count: int, seconds: int) -> dict[str, object]:
    """What the measurement prints; subprocess.TimeoutExpired where it hangs."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "PYTHONHASHSEED": "0"}
    command = [sys.executable, str(HOSTILE_TEXTS), str(seed), str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check(found: dict[str, object], count: int) -> None:
    seconds, *what = found["slowest"]  # type: ignore[misc]
    assert found["read"] == count
    assert seconds < 2.0, what
    assert found["grown"] < 200  # type: ignore[operator]


def test_ten_thousand_hostile_texts() -> None:
    check(fuzz(seed=1, count=10_000, seconds=280), 10_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_more_hostile_texts(seed: int) -> None:
    check(fuzz(seed=seed, count=30_000, seconds=1700), 30_000)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_answers_are_read_in_worker_processes(method: str) -> None:
    canonical(r"\sqrt{2}")  # the parent has the parser loaded
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        assert pool.submit(same, r"\sqrt{8}", r"2\sqrt{2}").result(timeout=120)
