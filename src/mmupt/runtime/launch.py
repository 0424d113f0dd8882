"""Whether this process runs alone, or is one of those that torchrun has started. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """What torchrun says in the environment of each process that it starts. Those of one node, `local_size` of them,
    have ranks one behind another."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launched(environment: Mapping[str, str]) -> Launch | None:
    """None in a process that runs alone, also where torchrun has started but one.

    >>> there = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    >>> launched({**there, "MASTER_ADDR": "a", "MASTER_PORT": "29500"})
    Launch(rank=3, size=4, local_rank=1, local_size=2)
    """
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= environment.keys():
        return None
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    local_rank, local_size = int(environment["LOCAL_RANK"]), int(environment.get("LOCAL_WORLD_SIZE", 1))
    return Launch(rank, size, local_rank, local_size) if size > 1 else None
