"""The one process of a plain run, and how work is divided among several."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mmupt.errors import TrainingError
from mmupt.runtime.launch import launched
from mmupt.runtime.processes import ALONE, Processes, Ranks, divided

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "node", "MASTER_PORT": "29500"}


def test_alone_everything_is_a_call() -> None:
    assert ALONE.main and ALONE.size == 1 and ALONE.mesh(ALONE.device("cpu")) is None
    assert ALONE.first(lambda: 3) == ALONE.each(lambda: 3) == 3
    assert ALONE.gather("x") == ["x"]
    assert ALONE.sum(0.1) == 0.1
    assert ALONE.map([3, 1, 2], [1, 1, 1], lambda items: [i * 10 for i in items]) == [30, 10, 20]
    ALONE.agree("anything", object())
    with pytest.raises(ZeroDivisionError):
        ALONE.first(lambda: 1 // 0)


def test_torchrun_is_recognised_and_one_process_of_it_is_alone() -> None:
    assert (found := launched(TORCHRUN)) is not None
    assert (found.rank, found.size, found.local_rank, found.local_size) == (1, 2, 0, 1), (
        "of its neighbours none is known"
    )
    assert launched({**TORCHRUN, "WORLD_SIZE": "1"}) is None
    assert launched({"WORLD_SIZE": "8"}) is None, "some clusters set such a variable for everything"


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_whole_and_even(seed: int) -> None:
    rng = random.Random(seed)
    costs = [rng.randint(1, 50) for _ in range(rng.randint(0, 30))]
    ranks = rng.randint(1, 6)
    shares = divided(costs, ranks)
    assert sorted(i for share in shares for i in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in shares)
    loads = [sum(costs[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0), "no share could give up an item and be the better for it"


def test_who_differs_is_named() -> None:
    class Two(Processes):
        size = 2

        def gather(self, value: object) -> list:  # type: ignore[type-arg]
            return [value, "other"]

    Two().agree("step 3", "other")
    with pytest.raises(TrainingError, match="step 3: rank 1 and rank 0"):
        Two().agree("step 3", "mine")


@pytest.mark.parametrize("abreast", [1, 2, 4])
def test_neighbours_work_on_one_share(abreast: int) -> None:
    """Each share is worked on by all of its neighbours, and what the first of them finds is what all have."""
    told: list[object] = [None] * 4
    barrier = Barrier(4)

    class Threads(Ranks):
        def __init__(self, rank: int) -> None:
            self.rank, self.size = rank, 4

        def gather(self, value: object) -> list:  # type: ignore[type-arg]
            told[self.rank] = value
            barrier.wait(30)
            return list(told)

    def run(rank: int) -> tuple[list[str], list[tuple[str, int]]]:
        shares: list[str] = []

        def work(share: list[str]) -> list[tuple[str, int]]:
            shares.extend(share)
            return [(item, rank) for item in share]

        return shares, Threads(rank).map("abcde", [5, 1, 1, 4, 2], work, abreast=abreast)

    with ThreadPoolExecutor(4) as threads:
        shares, found = zip(*threads.map(run, range(4)), strict=True)
    assert all(shares[rank] == shares[rank // abreast * abreast] for rank in range(4))
    assert sorted("".join("".join(share) for share in shares[::abreast])) == list("abcde")
    assert found[0] == found[1] == found[2] == found[3]
    assert [item for item, _ in found[0]] == list("abcde")
    assert {rank for _, rank in found[0]} == set(range(0, 4, abreast)), "the work of all, told by the first of each"
