"""Work for several: processes of a run, servers of a trainer."""

from __future__ import annotations

from collections.abc import Sequence


def divided(costs: Sequence[float], shares: int) -> list[list[int]]:
    """Indices for each share, in rising order: the costliest first, each to whoever has least to do.

    >>> divided([5, 1, 1, 4], 2)
    [[0, 2], [1, 3]]
    """
    found: list[list[int]] = [[] for _ in range(shares)]
    loads = [0.0] * shares
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = min(range(shares), key=lambda s: (loads[s], len(found[s]), s))
        found[least].append(index)
        loads[least] += costs[index]
    return [sorted(share) for share in found]
