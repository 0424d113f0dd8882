"""Where the time of a step goes: a clock the loop switches from phase to phase, and what metrics say of it.

    clock.start()
    with clock("decode", tokens=640): ...
    with clock("backward"): ...
    record |= profile_fields(clock.take(), floor, ceiling, peak_memory())

Nothing here imports torch unless a clock is told to wait for the GPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Literal, get_args

Phase = Literal[
    "prepare",  # waiting for pictures and prompts to be read and encoded
    "prefill",  # prompts through the model before the first sampled token
    "decode",  # the sampled tokens
    "reward",  # answers read, voted on, scored
    "pack",  # groups laid out in rows and brought to the device
    "old",  # log-probs of the policy that is about to move, where a step has several updates
    "reference",  # log-probs of the policy the KL term holds on to
    "forward",
    "backward",
    "optimiser",
    "sync",  # new weights on their way to the engine, gradients between processes
]
PHASES: tuple[Phase, ...] = get_args(Phase)
OTHER = "other"
"""How metrics call the part of a step that no phase covers."""


@dataclass(frozen=True, slots=True)
class PhaseTotal:
    """What a phase took in one step: seconds without those of phases inside it, tokens, times it was entered."""

    seconds: float
    tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class StepTimes:
    """One step: `seconds` of wall time from `start()` to `take()`, and the phases that were entered, as PHASES has
    them."""

    seconds: float
    phases: Mapping[Phase, PhaseTotal]

    @property
    def other(self) -> float:
        """Seconds that no phase covers."""
        return max(0.0, self.seconds - sum(total.seconds for total in self.phases.values()))


@dataclass(slots=True)
class _Meter:
    """A phase of a clock, and at the same time the context manager that enters it."""

    clock: PhaseClock
    name: Phase
    seconds: float = 0.0
    tokens: int = 0
    calls: int = 0

    def __enter__(self) -> None:
        self.clock._enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock._leave()


class PhaseClock:
    """Counts exclusively: inside a phase that was entered within another one, the outer clock stands still.

    A GPU works behind the program's back. Unless `synchronise` is set, a phase there shows how long it took to launch
    its work, and whichever phase next reads a number back from the device shows the waiting for all of it. With
    `synchronise` every border waits for CUDA, so that each phase shows its own work; that costs overlap, so it is
    for `mmupt profile`. It changes nothing on a CPU.

    A clock belongs to the thread that started its step: work done ahead in another thread costs a step only the time
    for which it is waited. Entering a phase from elsewhere raises RuntimeError.
    """

    def __init__(self, *, synchronise: bool = False) -> None:
        self._wait = _cuda_wait() if synchronise else None
        self._meters = {phase: _Meter(self, phase) for phase in PHASES}
        self._open: list[_Meter] = []
        self.start()

    def __call__(self, phase: Phase, tokens: int = 0) -> AbstractContextManager[None]:
        """`with clock("decode", tokens=n): ...`; tokens that are known only afterwards go to `add_tokens`."""
        meter = self._meters[phase]
        meter.tokens += tokens
        return meter

    def add_tokens(self, phase: Phase, tokens: int) -> None:
        self._meters[phase].tokens += tokens

    def start(self) -> None:
        """A step begins here: everything counted so far is dropped."""
        if self._open:
            raise RuntimeError(f"a step cannot begin or end inside the phase {self._open[-1].name!r}")
        self._thread = get_ident()
        for meter in self._meters.values():
            meter.seconds, meter.tokens, meter.calls = 0.0, 0, 0
        self._began = self._last = self._now()

    def take(self) -> StepTimes:
        """The step that ends here; the next one begins."""
        seconds = self._now() - self._began
        phases = {m.name: PhaseTotal(m.seconds, m.tokens, m.calls) for m in self._meters.values() if m.calls}
        self.start()
        return StepTimes(seconds, phases)

    def _enter(self, meter: _Meter) -> None:
        if get_ident() != self._thread:
            raise RuntimeError("a PhaseClock counts the thread that started its step; give another thread its own")
        now = self._now()
        if self._open:
            self._open[-1].seconds += now - self._last
        self._last = now
        self._open.append(meter)
        meter.calls += 1

    def _leave(self) -> None:
        now = self._now()
        self._open.pop().seconds += now - self._last
        self._last = now

    def _now(self) -> float:
        if self._wait is not None:
            self._wait()
        return time.perf_counter()


def _cuda_wait() -> Callable[[], None] | None:
    import torch

    return torch.cuda.synchronize if torch.cuda.is_available() else None


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The most this process has held so far, in bytes: of main memory (resident), and of CUDA memory in tensors. None
    where the system does not tell, or nothing runs on CUDA."""

    process: int | None
    cuda: int | None


def peak_memory() -> PeakMemory:
    """Since the process began, so what came before a step (loading, an evaluation) counts as well."""
    torch = sys.modules.get("torch")
    cuda = int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_initialized() else None
    return PeakMemory(_process_peak(), cuda)


def _process_peak() -> int | None:
    """VmHWM where there is one: Linux's ru_maxrss also remembers the process that started this one."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


@dataclass(frozen=True, slots=True)
class Floor:
    """The least arithmetic of a step by phase, in FLOPs (see models/flops.py), and how many FLOPs a second the device
    was measured to do at best."""

    ceiling: float
    flops: Mapping[Phase, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.flops.values()) / self.ceiling


def profile_fields(times: StepTimes, floor: Floor | None, memory: PeakMemory) -> dict[str, float]:
    """A step's profile as flat keys of metrics.jsonl: `seconds`, `seconds_<phase>`, `seconds_other`, `tokens_<phase>`,
    `flops_<phase>`, `matmul_ceiling` (FLOP/s), `floor_fraction` (floor seconds over measured seconds, 1.0 would be
    perfect), `peak_memory_bytes`, `peak_cuda_memory_bytes`. What is not known has no key."""
    fields: dict[str, float] = {"seconds": times.seconds}
    fields |= {f"seconds_{phase}": total.seconds for phase, total in times.phases.items()}
    fields[f"seconds_{OTHER}"] = times.other
    fields |= {f"tokens_{phase}": total.tokens for phase, total in times.phases.items() if total.tokens}
    if floor is not None:
        fields |= {f"flops_{phase}": flops for phase, flops in floor.flops.items()}
        fields["matmul_ceiling"] = floor.ceiling
        fields["floor_fraction"] = floor.seconds / times.seconds
    if memory.process is not None:
        fields["peak_memory_bytes"] = memory.process
    if memory.cuda is not None:
        fields["peak_cuda_memory_bytes"] = memory.cuda
    return fields
