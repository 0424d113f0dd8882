"""Which process holds the others up: how long each was busy in a step, waiting left out."""

from __future__ import annotations

from statistics import median

from mmupt.runtime.phases import StepTimes
from mmupt.runtime.processes import Processes


def across(processes: Processes, times: StepTimes) -> dict[str, float]:
    """For metrics, where there are several processes: `ranks`, and of the seconds each was busy `rank_seconds_max`,
    `rank_seconds_median` and `rank_slowest`, whose seconds the first are. Collective.

    Busy is a step without its phase "sync", in which processes wait for what the others have sampled and scored. In
    forward and backward passes they wait for each other layer by layer, which nobody can tell from work.
    """
    waiting = times.phases["sync"].seconds if "sync" in times.phases else 0.0
    busy = processes.gather(times.seconds - waiting)
    if len(busy) == 1:
        return {}
    slowest = max(range(len(busy)), key=lambda rank: busy[rank])
    return {
        "ranks": len(busy),
        "rank_seconds_max": busy[slowest],
        "rank_seconds_median": median(busy),
        "rank_slowest": slowest,
    }
