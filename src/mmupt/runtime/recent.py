"""A bounded memory of what was made lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class RecentlyUsed(Generic[K, V]):
    """Values by key, together at most `capacity` bytes; what was not asked for longest leaves first. Not for two
    threads at once."""

    capacity: int
    _kept: OrderedDict[K, tuple[V, int]] = field(default_factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False)

    def get(self, key: K) -> V | None:
        """What is kept under `key`."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: K, value: V, nbytes: int) -> None:
        """Keep `value`, which takes `nbytes` bytes; one that is larger than everything may be is not kept."""
        if nbytes > self.capacity:
            return
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[1]
        self._kept[key] = (value, nbytes)
        self._bytes += nbytes
        while self._bytes > self.capacity:
            self._bytes -= self._kept.popitem(last=False)[1][1]
