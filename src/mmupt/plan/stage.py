"""One training stage on a cluster, in numbers, and on how many GPUs it would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mmupt.plan.gpus import Cluster
from mmupt.plan.memory import PhaseMemory, Setting, memories
from mmupt.plan.times import PhaseTime, phase_times
from mmupt.plan.workload import StageWork

MOST_GPUS = 8192
"""How far a plan looks for a number of GPUs that would do."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One training stage. `smallest` is the fewest GPUs of this kind on which it fits as it is set, None where none up
    to MOST_GPUS do; `enough` the fewest that take at most a tenth longer for a step."""

    work: StageWork
    setting: Setting
    memories: Mapping[str, PhaseMemory]
    phases: tuple[PhaseTime, ...]
    smallest: int | None
    enough: int
    advice: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return all(memory.fits for memory in self.memories.values())

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    @property
    def gpu_hours(self) -> float | None:
        """Of the whole stage; None where its steps are not known."""
        return None if self.work.steps is None else self.work.steps * self.seconds * self.setting.cluster.gpus / 3600

    @property
    def limit(self) -> PhaseTime:
        """The phase that takes longest."""
        return max(self.phases, key=lambda phase: phase.seconds)


def fits(setting: Setting, work: StageWork) -> bool:
    return all(memory.fits for memory in memories(setting, work).values())


def smallest_that_fits(setting: Setting, work: StageWork) -> int | None:
    """The fewest GPUs, of the numbers a plan takes, on which the stage fits as it is set."""
    for cluster in _clusters(setting):
        if fits(replace(setting, cluster=cluster), work):
            return cluster.gpus
    return None


def fewest_as_fast(setting: Setting, work: StageWork, slower: float = 1.1) -> int:
    """The fewest GPUs on which the stage fits and a step takes at most `slower` times as long as on those it has."""
    here = sum(phase.seconds for phase in phase_times(setting, work))
    for cluster in _clusters(setting):
        if cluster.gpus >= setting.cluster.gpus:
            break
        other = replace(setting, cluster=cluster)
        if fits(other, work) and sum(phase.seconds for phase in phase_times(other, work)) <= slower * here:
            return cluster.gpus
    return setting.cluster.gpus


def _clusters(setting: Setting) -> Iterator[Cluster]:
    """1, 2, 4, ... GPUs: parts of a node that the engine divides, then whole nodes."""
    count = setting.tensor_parallel
    while count <= MOST_GPUS:
        if count <= setting.cluster.gpus_per_node or count % setting.cluster.gpus_per_node == 0:
            yield replace(setting.cluster, gpus=count)
        count *= 2
