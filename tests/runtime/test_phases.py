"""The phase clock on a clock of its own: every second is counted once, in the phase it belongs to."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from mmupt.runtime import phases
from mmupt.runtime.phases import (
    PHASES,
    Floor,
    PeakMemory,
    PhaseClock,
    PhaseTotal,
    StepTimes,
    peak_memory,
    profile_fields,
)

Pass = Callable[[float], None]


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets time pass for the module under test, in seconds."""
    now = [100.0]
    monkeypatch.setattr(phases.time, "perf_counter", lambda: now[0])

    def _pass(seconds: float) -> None:
        now[0] += seconds

    return _pass


def test_a_step(passing: Pass) -> None:
    clock = PhaseClock()
    passing(50)  # before the step: an evaluation, say
    clock.start()
    for seconds in (1, 2):
        with clock("decode", tokens=10):
            passing(seconds)
    passing(0.5)
    with clock("reward"):
        passing(4)
    clock.add_tokens("reward", 7)
    times = clock.take()
    assert times == StepTimes(7.5, {"decode": PhaseTotal(3, 20, 2), "reward": PhaseTotal(4, 7, 1)})
    assert times.other == 0.5
    assert clock.take() == StepTimes(0.0, {})  # a new step begins with nothing


def test_time_inside_belongs_to_the_inner_phase(passing: Pass) -> None:
    clock = PhaseClock()
    with clock("forward"):
        passing(1)
        with clock("pack"):
            passing(2)
            with clock("forward"):  # a phase within itself counts once
                passing(4)
        passing(8)
    phases_of = clock.take().phases
    assert {name: total.seconds for name, total in phases_of.items()} == {"pack": 2, "forward": 13}
    assert phases_of["forward"].calls == 2


def test_an_error_leaves_the_phase(passing: Pass) -> None:
    clock = PhaseClock()
    with pytest.raises(ZeroDivisionError), clock("backward"):
        passing(1)
        raise ZeroDivisionError
    passing(2)
    times = clock.take()
    assert (times.phases["backward"].seconds, times.other) == (1, 2)


def test_a_step_does_not_end_inside_a_phase() -> None:
    clock = PhaseClock()
    with pytest.raises(RuntimeError, match="inside the phase 'decode'"), clock("decode"):
        clock.take()


def test_another_thread_is_refused_and_leaves_no_trace() -> None:
    clock, refused = PhaseClock(), []

    def elsewhere() -> None:
        try:
            with clock("prepare"):
                pass
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert refused and "another thread" in refused[0]
    assert clock.take().phases == {}


def test_every_border_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(phases, "_cuda_wait", lambda: lambda: waits.append(1))
    clock = PhaseClock(synchronise=True)
    waits.clear()
    with clock("forward"), clock("pack"):
        pass
    assert len(waits) == 4
    PhaseClock().take()
    assert len(waits) == 4


def test_fields_of_metrics() -> None:
    times = StepTimes(8.0, {"decode": PhaseTotal(5.0, 640, 3), "backward": PhaseTotal(2.0, 0, 1)})
    floor = Floor(ceiling=100.0, flops={"decode": 50, "backward": 150})
    assert profile_fields(times, floor, PeakMemory(10, 20)) == {
        "seconds": 8.0, "seconds_decode": 5.0, "seconds_backward": 2.0, "seconds_other": 1.0, "tokens_decode": 640,
        "flops_decode": 50, "flops_backward": 150, "matmul_ceiling": 100.0, "floor_fraction": 0.25,
        "peak_memory_bytes": 10, "peak_cuda_memory_bytes": 20,
    }  # fmt: skip
    bare = profile_fields(times, None, PeakMemory(None, None))
    assert set(bare) == {"seconds", "seconds_decode", "seconds_backward", "seconds_other", "tokens_decode"}
    assert "tokens_per_second" not in {f"tokens_{phase}" for phase in PHASES}  # which is another metric's key


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory().process
    if before is None:
        pytest.skip("this system does not tell")
    held = bytearray(b"x") * (before + 64 * 2**20)  # beyond anything the process has held so far
    after = peak_memory().process
    assert after is not None and after >= before + 64 * 2**20 and len(held) > before
    assert after < 20 * before  # bytes, not some other unit


def test_torch_is_not_imported() -> None:
    code = "import sys, mmupt.runtime.phases as p; p.PhaseClock(); p.peak_memory(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
