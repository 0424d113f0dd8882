"""Where the time of a stage went, read back from its metrics: for the report and for `mmupt profile`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmupt.report.reading import number
from mmupt.runtime.phases import OTHER, PHASES

ADVICE = {
    "prepare": "prompt.max_pixels: smaller pictures are read and encoded sooner",
    "prefill": "prompt.max_pixels shortens prompts; rollout.prompts_at_once reads more of them together",
    "decode": "rollout.max_new_tokens bounds the longest response, which all wait for; a larger "
    "rollout.prompts_at_once makes fewer, fuller batches",
    "reward": "rollout.max_new_tokens and rollout.group_size: fewer and shorter responses are read sooner",
    "pack": "micro_batch_tokens: larger rows, fewer of them",
    "old": "updates_per_step = 1 does without these log-probs",
    "reference": "algo.kl_coef = 0.0 does without the reference policy",
    "forward": 'micro_batch_tokens fills the device with larger rows; model.dtype = "bfloat16" on a GPU; '
    "prompt.max_pixels shortens prompts",
    "backward": "model.gradient_checkpointing = false spares a second forward where memory allows; model.freeze and "
    "model.lora leave gradients out",
    "optimiser": "a smaller updates_per_step; model.lora and model.freeze leave fewer weights to move",
    "sync": "a smaller updates_per_step, or more prompts_per_step for each time weights are handed over",
    OTHER: "what no phase covers: Python between the phases, and waiting for other programs on this machine",
}
"""Which setting changes what a phase costs."""


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """One phase, per step. `floor_fraction` is the time its arithmetic takes at best over the time it took."""

    phase: str
    seconds: float
    share: float
    tokens: float
    floor_fraction: float | None

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens and self.seconds else None


@dataclass(frozen=True, slots=True)
class Profile:
    """Means over `steps` steps; phases in the order of PHASES, what they do not cover last. Peaks are in bytes, the
    ceiling in FLOP/s; None where the metrics do not tell."""

    steps: int
    seconds: float
    tokens: float
    phases: tuple[PhaseCost, ...]
    floor_fraction: float | None
    ceiling: float | None
    peak_memory: int | None
    peak_cuda_memory: int | None

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens else None

    @property
    def largest(self) -> tuple[PhaseCost, ...]:
        """The three largest costs, those below half a per cent left out."""
        return tuple(sorted((p for p in self.phases if p.share >= 0.005), key=lambda p: -p.share)[:3])

    @property
    def largest_named(self) -> str:
        """ "decode 61 %, backward 22 %, forward 9 %" """
        return ", ".join(f"{cost.phase} {100 * cost.share:.0f} %" for cost in self.largest)


def read_profile(records: Sequence[Mapping[str, Any]]) -> Profile | None:
    """What the steps' metrics say; None where none of them was timed by phase (see runtime/phases.py)."""
    timed = [record for record in records if _has_phases(record) and _value(record, "seconds") > 0]
    if not timed:
        return None
    steps = len(timed)
    seconds = sum(_value(record, "seconds") for record in timed)
    flops: dict[str, float] = {phase: sum(_value(record, f"flops_{phase}") for record in timed) for phase in PHASES}
    ceiling = _largest(timed, "matmul_ceiling")

    def fraction(flops: float, seconds: float) -> float | None:
        return flops / ceiling / seconds if ceiling and flops and seconds else None

    costs = []
    for phase in (*PHASES, OTHER):
        took = sum(_value(record, f"seconds_{phase}") for record in timed)
        tokens = sum(_value(record, f"tokens_{phase}") for record in timed)
        if took > 0 or tokens:
            least = fraction(flops.get(phase, 0.0), took)
            costs.append(PhaseCost(phase, took / steps, took / seconds, tokens / steps, least))
    peaks = [_largest(timed, key) for key in ("peak_memory_bytes", "peak_cuda_memory_bytes")]
    return Profile(
        steps=steps,
        seconds=seconds / steps,
        tokens=sum(_value(record, "tokens") for record in timed) / steps,
        phases=tuple(costs),
        floor_fraction=fraction(sum(flops.values()), seconds),
        ceiling=ceiling,
        peak_memory=None if peaks[0] is None else int(peaks[0]),
        peak_cuda_memory=None if peaks[1] is None else int(peaks[1]),
    )


def in_units(value: float, unit: str) -> str:
    """ "3.4 GiB", "343 GFLOP/s": bytes by powers of 1024, all else by powers of 1000."""
    base, prefixes = (1024, ("", "Ki", "Mi", "Gi", "Ti")) if unit == "B" else (1000, ("", "k", "M", "G", "T", "P"))
    power = 0
    while value >= base and power + 1 < len(prefixes):
        value, power = value / base, power + 1
    return f"{value:.3g} {prefixes[power]}{unit}" if value < 1000 else f"{value:.0f} {prefixes[power]}{unit}"


def in_percent(value: float | None) -> str:
    """ "61 %", "3.4 %" below ten; nothing for None."""
    return "" if value is None else f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"


def in_whole(value: float | None) -> str:
    """ "1,234"; nothing for None."""
    return "" if value is None else f"{value:,.0f}"


def _has_phases(record: Mapping[str, Any]) -> bool:
    return any(f"seconds_{phase}" in record for phase in PHASES)


def _value(record: Mapping[str, Any], key: str) -> float:
    """A finite number that is not negative, or 0: the report must not stumble over a log somebody has edited."""
    value = number(record.get(key))
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def _largest(records: Sequence[Mapping[str, Any]], key: str) -> float | None:
    return max((_value(record, key) for record in records), default=0.0) or None
