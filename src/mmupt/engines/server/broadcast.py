"""Weights from the trainer to all servers at once, through a process group that belongs to nobody else: torchrun's own
groups, and those that vLLM makes for itself, are left alone.

Over NCCL from GPU to GPU, which has not been run yet; over gloo the same between CPUs, which has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

_TIMEOUT = timedelta(minutes=5)


class GroupLost(Exception):
    """Somebody has not come, or has gone."""


@dataclass(frozen=True, slots=True)
class Place:
    """One seat in a group of `size`; the trainer has rank 0, and keeps the list at `address` and `port`."""

    backend: str
    address: str
    port: int
    rank: int
    size: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Group:
    """Made by all members at the same time. Raises GroupLost where one does not come within five minutes."""

    def __init__(self, place: Place, device: torch.device, store: Store | None = None) -> None:
        """`store` is the trainer's own (see `list_keeper`); a server finds it by the place."""
        self.place, self._device = place, device
        try:
            self._store = store or TCPStore(place.address, place.port, is_master=False, timeout=_TIMEOUT)
            self._group: Any = _made(place, PrefixStore("mmupt/weights", self._store))
        except (RuntimeError, ValueError) as error:
            raise GroupLost(f"the group for weights did not come together: {error}") from error

    def send(self, weights: Iterator[tuple[str, Tensor]], dtype: torch.dtype) -> None:
        """Every member has to receive meanwhile, in this order."""
        for _, weight in weights:
            self._broadcast(weight.to(self._device, dtype).contiguous())

    def receive(self, order: Sequence[tuple[str, Sequence[int]]], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """What `send` sends; each tensor is the receiver's own."""
        for name, shape in order:
            weight = torch.empty(list(shape), dtype=dtype, device=self._device)
            self._broadcast(weight)
            yield name, weight

    def close(self) -> None:
        if self._group is not None:
            self._group.shutdown()
            self._group = None

    def _broadcast(self, tensor: Tensor) -> None:
        try:
            self._group.broadcast(tensor, 0).wait()
        except RuntimeError as error:
            raise GroupLost(f"the group for weights has fallen apart: {error}") from error


def list_keeper(address: str) -> tuple[Store, int]:
    """The trainer's list of members, and the port at which servers find it."""
    store = TCPStore(address, 0, is_master=True, timeout=_TIMEOUT, wait_for_workers=False)
    return store, store.port


def _made(place: Place, store: Store) -> Any:
    if place.backend == "gloo":
        return dist.ProcessGroupGloo(store, place.rank, place.size, _TIMEOUT)
    nccl: Any = dist
    options = nccl.ProcessGroupNCCL.Options()
    options._timeout = _TIMEOUT
    return nccl.ProcessGroupNCCL(store, place.rank, place.size, options)
