"""One program in one process or in many: who this one is, and what processes say to each other.

    groups = processes.map(prompts, costs, sample)          # each does its share, all have all of it
    processes.first(lambda: write_groups(path, groups))     # one does it, and all know that it is done
    processes.agree("step 3", digest)                       # or the run ends, and says who differs

`Processes` is the one process of a plain run, in which all of this is nothing but a call. `Ranks` are those that
torchrun has started. Everything here is collective: all of them come by, in the same order, with the same arguments.
What goes wrong in one of them is raised in all of them, with the rank in front.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch.distributed.device_mesh import DeviceMesh

from mmupt import errors
from mmupt.errors import ConfigError, MmuptError, TrainingError
from mmupt.runtime.device import pick_device
from mmupt.runtime.division import divided
from mmupt.runtime.launch import Launch

T = TypeVar("T")
R = TypeVar("R")

_SHORTEST, _LONGEST = 0.001, 0.2
"""Seconds between two looks at whether the first process is done."""
_PATIENCE = 60.0
"""Seconds for which a process that has nothing to tell of an error lets the one that has finish."""
_ENDED = "mmupt/ended"


class LostPeer(RuntimeError):
    """Another process has failed in a way that is no user's mistake; that process shows its traceback."""


class Processes:
    """The one process of a plain run."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    """How many are known to run on this node, those of neighbouring ranks."""

    @property
    def main(self) -> bool:
        """Whether this one writes and talks."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """Where this process computes, of `model.device`. Raises ConfigError as `pick_device` does."""
        return pick_device(name)

    def mesh(self, device: torch.device) -> DeviceMesh | None:
        """All processes in a row, for sharding; None where there is nothing to shard over."""
        return None

    def first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, which alone calls it. The others wait for it as long as it takes,
        and have what it returned, or raise what it raised. What is returned has to be picklable."""
        return make()

    def each(self, make: Callable[[], T]) -> T:
        """What `make` returns here. Where it fails in one process it has failed in all of them."""
        return make()

    def gather(self, value: T) -> list[T]:
        """What each process has brought, by rank."""
        return [value]

    def map(
        self, items: Sequence[T], costs: Sequence[float], work: Callable[[list[T]], Sequence[R]], *, abreast: int = 1
    ) -> list[R]:
        """`work(items)`, one result an item, in order. Each process works on a share of the items, whole and about as
        costly as any other's; all have all results. Where `abreast` of them work on each share together, neighbours by
        rank, what the first of these returns counts."""
        return list(work(list(items)))

    def sum(self, value: float) -> float:
        """Over all processes: the same number in each of them, to the last bit."""
        return sum(self.gather(value))

    def agree(self, what: str, value: object) -> None:
        """TrainingError, naming the ranks, where `value` is not the same in all processes."""
        values = self.gather(value)
        others = [str(rank) for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise agreed(
                TrainingError(
                    f"{what}: rank {', '.join(others)} and rank 0 have come to different results, so they would train "
                    "different models. Versions, recipes and data have to be the same on all nodes; the last "
                    "checkpoint stands"
                )
            )


ALONE = Processes()

E = TypeVar("E", bound=Exception)


def agreed(error: E) -> E:
    """The error, marked as one that all processes raise alike."""
    if isinstance(error, MmuptError):
        error.agreed = True
    return error


@dataclass(frozen=True, slots=True)
class _Failure:
    """An exception on its way between processes. Of a user's mistake kind and message arrive."""

    rank: int
    kind: str
    message: str

    @classmethod
    def of(cls, rank: int, error: Exception) -> _Failure:
        kind = type(error).__name__ if isinstance(error, MmuptError) else ""
        return cls(rank, kind, str(error))

    def raised(self, *, named: bool) -> Exception:
        """With the rank in front where that tells something."""
        if not self.kind:
            return LostPeer(f"rank {self.rank} has failed")
        message = f"rank {self.rank}: {self.message}" if named else self.message
        found: Exception = getattr(errors, self.kind)(message)
        return agreed(found)


class Ranks(Processes):
    """The processes that torchrun has started, on one node or many. Objects travel through gloo, so that a GPU is
    never waited for to say a word; shards travel through NCCL where they lie on GPUs.

        with Ranks(launched(os.environ), device_name="auto", timeout_minutes=30) as processes: ...
    """

    def __init__(self, launch: Launch, *, device_name: str, timeout_minutes: int) -> None:
        """Meets the others. ConfigError where the device cannot be had by each process for itself."""
        import torch.distributed as dist
        from torch._C._distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        self.rank, self.size = launch.rank, launch.size
        self.local_rank, self.local_size = launch.local_rank, launch.local_size
        self._device = _own_device(device_name, launch.local_rank)
        backend = "gloo"
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
            backend = "cpu:gloo,cuda:nccl"
        timeout = timedelta(minutes=timeout_minutes)
        self._store, _, _ = next(rendezvous("env://", self.rank, self.size, timeout=timeout))
        dist.init_process_group(
            backend, store=PrefixStore("group", self._store), rank=self.rank, world_size=self.size, timeout=timeout
        )
        self._dist: Any = dist
        self._waits = 0
        self._mesh: DeviceMesh | None = None

    def device(self, name: str) -> torch.device:
        return self._device

    def mesh(self, device: torch.device) -> DeviceMesh:
        if self._mesh is None:
            from torch.distributed.device_mesh import init_device_mesh

            self._mesh = init_device_mesh(device.type, (self.size,))
        return self._mesh

    def first(self, make: Callable[[], T]) -> T:
        box: list[Any] = [None]
        error: Exception | None = None
        self._waits += 1
        ready = f"mmupt/first/{self._waits}"
        if self.main:
            try:
                box[0] = make()
            except Exception as raised:
                error, box[0] = raised, _Failure.of(self.rank, raised)
            self._store.set(ready, "")
        else:
            self._wait(ready)
        self._dist.broadcast_object_list(box, src=0)
        if error is not None:
            raise agreed(error)
        if isinstance(box[0], _Failure):
            raise box[0].raised(named=False)
        return box[0]

    def each(self, make: Callable[[], T]) -> T:
        result, _ = self._done(make, tell=False)
        return result

    def gather(self, value: T) -> list[T]:
        found: list[Any] = [None] * self.size
        self._dist.all_gather_object(found, value)
        return found

    def map(
        self, items: Sequence[T], costs: Sequence[float], work: Callable[[list[T]], Sequence[R]], *, abreast: int = 1
    ) -> list[R]:
        shares = divided(costs, self.size // abreast)
        mine, place = shares[self.rank // abreast], self.rank % abreast

        def worked_on() -> list[R]:
            done = list(work([items[i] for i in mine]))
            return done if place == 0 else []

        _, results = self._done(worked_on, tell=True)
        found: dict[int, R] = {}
        for share, worked in zip(shares, results[::abreast], strict=True):
            found.update(zip(share, worked, strict=True))
        return [found[i] for i in range(len(items))]

    def end(self, error: BaseException | None) -> bool:
        """Behind the run. After an `error`, whether this is the process that tells of it: the first that comes, or, of
        what all raise alike, the first by rank, which may have files to close. The others let it finish."""
        if error is None:
            self._dist.barrier()
            self._dist.destroy_process_group()
            return False
        try:
            if isinstance(error, LostPeer) or (getattr(error, "agreed", False) and not self.main):
                until = time.monotonic() + _PATIENCE
                while not self._store.check([_ENDED]) and time.monotonic() < until:
                    time.sleep(_LONGEST)
                return False
            told: bytes = self._store.compare_set(_ENDED, "", str(self.rank))
        except RuntimeError:  # the store has ended with the process that held it, which has told what all know
            return not isinstance(error, RuntimeError) and not getattr(error, "agreed", False)
        return told == str(self.rank).encode()

    def _done(self, make: Callable[[], T], *, tell: bool) -> tuple[T, list[T]]:
        """What `make` has returned here, and in all processes if they are to `tell` it."""
        result: Any = None
        error: Exception | None = None
        try:
            result = make()
        except Exception as raised:
            error = raised
        failure = _Failure.of(self.rank, error) if error is not None else None
        told = self.gather((failure, result if tell else None))
        failures = [failed for failed, _ in told]
        first = next((failed for failed in failures if failed is not None), None)
        if first is None:
            brought: list[Any] = [found for _, found in told]
            return result, brought
        if error is not None and not isinstance(error, MmuptError):
            raise error  # this process is the one to show the traceback
        everywhere = all(failed is not None and failed.message == first.message for failed in failures)
        raise first.raised(named=not everywhere) from error

    def _wait(self, key: str) -> None:
        """For as long as the first process takes, or until somebody says that the run has ended."""
        pause = _SHORTEST
        while not self._store.check([key]):  # waiting inside the store would write a warning at every timeout
            if self._store.check([_ENDED]):
                raise LostPeer("another process has ended the run")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)


def _own_device(name: str, local_rank: int) -> torch.device:
    """The device of one of several processes of a node."""
    device = pick_device(name)
    if device.type == "cpu":
        return device
    if device.index is not None:
        raise ConfigError(
            f'"{name}" is one GPU, and several processes run: each takes its own; write "cuda" or "auto"',
            where="model.device",
        )
    return pick_device(f"cuda:{local_rank}")
