"""Engines of several processes as one: requests are divided, whole, and every process has all the rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """All processes ask for the same, at the same time; each samples its share with an engine of its own, or `abreast`
    neighbours sample one share together. What `begin` does, all do at the same time, before any of them samples: where
    it fails in one process, the others may be waiting for it, so nothing is said to them and the run ends."""

    own: Engine
    processes: Processes
    clock: PhaseClock
    abreast: int = 1
    begin: Callable[[], object] | None = None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """How long a response becomes is known to nobody, so each counts as if it became as long as it may."""
        costs = [r.encoded.length + len(r.seeds) * sampling.max_new_tokens for r in requests]
        with self.clock("sync"):  # what the engine does in it is counted where it belongs
            if self.begin is not None:
                self.begin()
            return self.processes.map(
                requests, costs, lambda share: self.own.generate(share, sampling), abreast=self.abreast
            )

    def release(self) -> None:
        self.own.release()


@dataclass(slots=True)
class FirstEngine:
    """All processes ask for the same, at the same time; the first one has it sampled, by whatever samples elsewhere,
    and all have all the rollouts. The others have no engine of their own."""

    own: Engine | None
    processes: Processes
    clock: PhaseClock

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        with self.clock("sync"):
            return self.processes.first(lambda: self.firsts.generate(requests, sampling))

    def release(self) -> None:
        if self.own is not None:
            self.own.release()

    @property
    def firsts(self) -> Engine:
        """The engine, in the first process."""
        assert self.own is not None, "only the first process has an engine"
        return self.own


@dataclass(slots=True)
class LeadingEngine:
    """The first process asks, when it likes; `led` makes the others lend it a hand. `failed` is what was raised in all
    of them."""

    shared: Engine
    processes: Processes
    failed: Exception | None = None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        self.processes.first(lambda: (requests, sampling))
        try:
            return self.shared.generate(requests, sampling)
        except Exception as error:
            self.failed = error
            raise

    def release(self) -> None:
        self.shared.release()


def led(processes: Processes, shared: Engine, work: Callable[[Engine], T]) -> T:
    """What `work` returns in the first process, which alone does it, but for what it asks of the engine that it is
    given: that all processes sample, with `shared`, which is released behind it. For work that reads and writes files
    as it goes."""
    if processes.size == 1:
        return work(shared)
    if isinstance(shared, FirstEngine):
        return processes.first(lambda: work(shared.firsts))
    if processes.main:
        leading = LeadingEngine(shared, processes)
        try:
            result = work(leading)
        except LostPeer:
            raise
        except Exception as error:
            if leading.failed is not None:  # the others have raised it, and listen no more
                raise
            return processes.first(partial(_fail, error))  # which raises it here as well
        shared.release()
        return processes.first(lambda: Done(result)).result
    while not isinstance(asked := processes.first(_not_here), Done):
        shared.generate(*asked)
    shared.release()
    return asked.result


def _fail(error: Exception) -> NoReturn:
    raise error


def _not_here() -> Any:
    raise AssertionError("only the first process says what is to be done")
