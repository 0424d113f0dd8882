"""Engines of several processes as one: requests are divided, whole, and every process has all the rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

from mmupt.engines.base import Engine, Request, Sampling
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import LostPeer, Processes
from mmupt.types import Rollout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What the first process says in the end; before that it says what it asks of the engine."""

    result: T


@dataclass(slots=True)
class DividedEngine:
    """All processes ask for the same, at the same time; each samples its share with an engine of its own. What `ready`
    makes lasts while it does."""

    own: Engine
    processes: Processes
    clock: PhaseClock
    ready: Callable[[], AbstractContextManager[None]] = nullcontext

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        with self.clock("sync"), self.ready():  # what the engine does in it is counted where it belongs
            return _divided(self.own, self.processes, requests, sampling)

    def release(self) -> None:
        self.own.release()


@dataclass(slots=True)
class LeadingEngine:
    """The first process asks, when it likes; `led` makes the others lend it a hand."""

    own: Engine
    processes: Processes

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        self.processes.first(lambda: (requests, sampling))
        return _divided(self.own, self.processes, requests, sampling)

    def release(self) -> None:
        self.own.release()


def led(processes: Processes, own: Engine, work: Callable[[Engine], T]) -> T:
    """What `work` returns in the first process, which alone does it, but for what it asks of the engine that it is
    given: that all processes sample, each with its `own`. For work that reads and writes files as it goes."""
    if processes.size == 1:
        return work(own)
    if processes.main:
        try:
            result = work(LeadingEngine(own, processes))
        except LostPeer:
            raise
        except Exception as error:
            return processes.first(partial(_fail, error))  # which raises it here as well
        return processes.first(lambda: Done(result)).result
    while not isinstance(asked := processes.first(_not_here), Done):
        _divided(own, processes, *asked)
    return asked.result


def _divided(
    own: Engine, processes: Processes, requests: Sequence[Request], sampling: Sampling
) -> list[tuple[Rollout, ...]]:
    """How long a response becomes is known to nobody, so each counts as if it became as long as it may."""
    costs = [r.encoded.length + len(r.seeds) * sampling.max_new_tokens for r in requests]
    return processes.map(requests, costs, lambda share: own.generate(share, sampling))


def _fail(error: Exception) -> NoReturn:
    raise error


def _not_here() -> Any:
    raise AssertionError("only the first process says what is to be done")
