"""A step's profile beside its FLOP floor, for `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from mmupt.algo.packing import PackItem
from mmupt.models.flops import GroupLengths, ModelShape, Trained, picture_grids, step_floor
from mmupt.models.loading import LoadedModel
from mmupt.runtime.ceiling import matmul_ceiling
from mmupt.runtime.phases import Floor, StepTimes, peak_memory, profile_fields
from mmupt.runtime.processes import Processes


@dataclass(frozen=True, slots=True)
class StepFloor:
    """What stays the same through a stage: the model's sizes (None where its costs are not known), what of it is
    trained, and the FLOP/s the device was measured to reach, times the number of processes."""

    shape: ModelShape | None
    trained: Trained
    ceiling: float

    @classmethod
    def of(cls, loaded: LoadedModel, processes: Processes) -> StepFloor:
        return cls(
            ModelShape.from_config(loaded.model.config),
            Trained.of(loaded.model, loaded.family.parts),
            _ceiling(loaded.device, loaded.dtype) * processes.size,
        )

    def fields(
        self,
        times: StepTimes,
        *,
        updated: Sequence[PackItem],
        sampled: Sequence[PackItem] = (),
        old: Sequence[PackItem] = (),
        reference: Sequence[PackItem] = (),
    ) -> dict[str, float]:
        """The keys of `profile_fields`; the groups are those that each phase had to do with."""
        floor = None
        if self.shape is not None:
            groups = [[_lengths(item) for item in items] for items in (sampled, updated, old, reference)]
            flops = step_floor(
                self.shape, self.trained, sampled=groups[0], updated=groups[1], old=groups[2], reference=groups[3]
            )
            floor = Floor(self.ceiling, flops)
        return profile_fields(times, floor, peak_memory())


def _lengths(item: PackItem) -> GroupLengths:
    encoded = item.encoded
    grids = picture_grids(picture.tensors for picture in encoded.pictures)
    return GroupLengths(encoded.length, tuple(len(c) for c in item.completions), grids)


@cache
def _ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Measured once a process: a fraction of a second."""
    return matmul_ceiling(device, dtype)
