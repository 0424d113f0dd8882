"""Engines of several processes as one: requests are divided, whole, and every process has all the rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from mmupt.engines.base import Engine, Request, Sampling
from mmupt.engines.checking import keep_step
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import LostPeer, Processes
from mmupt.types import Rollout

if TYPE_CHECKING:
    from mmupt.engines.server.engine import ServerEngine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What the first process says in the end; before that it says what it asks of the engine."""

    result: T


@dataclass(slots=True)
class DividedEngine:
    """All processes ask for the same, at the same time; each samples its share with an engine of its own, or `abreast`
    neighbours sample one share together. What `ready` makes, all make at the same time, before any of them samples, and
    it lasts while they do: where it fails in one process, the others may be waiting for it, so nothing is said to them
    and the run ends."""

    own: Engine
    processes: Processes
    clock: PhaseClock
    ready: Callable[[], AbstractContextManager[None]] = nullcontext
    abreast: int = 1

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """How long a response becomes is known to nobody, so each counts as if it became as long as it may."""
        costs = [r.encoded.length + len(r.seeds) * sampling.max_new_tokens for r in requests]
        with self.clock("sync"), self.ready():  # what the engine does in it is counted where it belongs
            return self.processes.map(
                requests, costs, lambda share: self.own.generate(share, sampling), abreast=self.abreast
            )

    def release(self) -> None:
        self.own.release()


@dataclass(slots=True)
class FirstEngine:
    """All processes ask for the same, at the same time; the first one has it sampled, by servers that it alone knows,
    and all have all the rollouts. The others lend a hand where the weights of `loaded` are sharded."""

    own: ServerEngine | None
    processes: Processes
    clock: PhaseClock
    loaded: LoadedModel

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        first = self.processes.first
        comparisons: list[Callable[[], None]] = []

        def sample() -> tuple[list[tuple[Rollout, ...]], int]:
            rollouts, new = self.firsts.sample(requests, sampling)
            comparisons.extend(new)
            return rollouts, len(new)

        with self.clock("sync"):
            if first(lambda: self.firsts.needs_weights(requests)):
                with self.loaded.lent_to_first():
                    first(lambda: self.firsts.bring_weights())
            rollouts, count = first(sample)
            for number in range(count):
                self.processes.each(comparisons[number] if comparisons else partial(keep_step, self.loaded))
        return rollouts

    def release(self) -> None:
        if self.own is not None:
            self.own.release()

    @property
    def firsts(self) -> ServerEngine:
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
