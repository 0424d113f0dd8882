"""Whether this process runs alone, or is one of those that torchrun has started. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """What torchrun says in the environment of each process that it starts."""

    rank: int
    size: int
    local_rank: int


def launched(environment: Mapping[str, str]) -> Launch | None:
    """None in a process that runs alone, also where torchrun has started but one.

    >>> launched({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "29500"})
    Launch(rank=1, size=2, local_rank=1)
    """
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= environment.keys():
        return None
    size = int(environment["WORLD_SIZE"])
    return Launch(int(environment["RANK"]), size, int(environment["LOCAL_RANK"])) if size > 1 else None
