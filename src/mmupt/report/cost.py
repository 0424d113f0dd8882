"""What a run has cost: wall time, steps, tokens, and on what it ran."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmupt.report.reading import RunData, Stage, number


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one training stage: seconds its steps took together, and tokens (sampled in `rl` and `upt`, learned from in
    `sft` and `dpo`)."""

    stage: str
    steps: int
    seconds: float
    tokens: int


def costs(run: RunData) -> list[Cost]:
    """One entry a stage that has taken a step."""
    return [
        Cost(stage.name, len(stage.records), _sum(stage, "seconds"), round(_sum(stage, "tokens")))
        for stage in run.stages
        if stage.records
    ]


def device_of(run: RunData) -> str:
    """What the run computed on, in words; empty where the files do not tell."""
    known = run.summary.get("device")
    if isinstance(known, str) and known:
        return known
    records = [record for stage in run.stages for record in stage.records]
    if any("peak_cuda_memory_bytes" in record for record in records):
        return "a CUDA GPU"
    return "CPU" if any("peak_memory_bytes" in record for record in records) else ""


def wall_seconds(run: RunData) -> float | None:
    """From beginning to end with everything (measurements, loading, pictures), over all resumptions; None where the run
    has not come to a summary."""
    return number(run.summary.get("seconds"))


def duration(seconds: float) -> str:
    """ "1 h 5 min", "12 min 3 s", "41 s"; nothing for no time."""
    if not 0 < seconds < 1e9:
        return ""
    whole = max(1, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _sum(stage: Stage, key: str) -> float:
    return sum(value for _, value in stage.series(key) if math.isfinite(value))
