"""`[processes]`: how the processes that torchrun starts for a run work together (how many there are is for torchrun to
say, and may change whenever a run is resumed). `[checkpoints]`: which checkpoints of a stage stay."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings

Layout = Literal["replica", "sharded"]


class ProcessSettings(Settings):
    """Read where more than one process runs, and free to change when a run is resumed. `layout`: each process has its
    part of all weights and no more ("sharded"), or beside its part of what is trained the whole model ("replica").
    `timeout_minutes` bounds how long processes wait for each other inside a step. `cpu_offload` keeps the shards of
    weights, gradients and AdamW's moments in main memory. With `reshard_after_forward` a layer's gathered weights are
    given up behind its forward, and gathered again for its backward pass."""

    layout: Layout = "sharded"
    timeout_minutes: int = Field(default=30, ge=1)
    cpu_offload: bool = False
    reshard_after_forward: bool = True


class CheckpointSettings(Settings):
    """Of the checkpoints inside a stage the `keep_last` newest stay, and always the one that the guard may go back to.
    Behind its end a stage keeps its result, and with `keep_at_end` also those that stood there until then. In the
    `background` a checkpoint is hashed, forced to the disk and renamed while the next step runs, but for where several
    processes run."""

    keep_last: int = Field(default=2, ge=1)
    keep_at_end: bool = False
    background: bool = False
