"""Seconds and peak memory of something that may not fit."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Measured:
    """`samples` are seconds, warm; `peak` is what tensors held at most on the GPU, in bytes, weights and gradients
    included (None on a CPU); or `error` says why there are none."""

    samples: tuple[float, ...] = ()
    peak: int | None = None
    error: str | None = None

    @property
    def seconds(self) -> float:
        return median(self.samples)

    @property
    def out_of_memory(self) -> bool:
        told = (self.error or "").lower()  # torch's own error, the driver's, cuBLAS's
        return "outofmemory" in told or "out of memory" in told or "alloc_failed" in told


def measure(action: Callable[[], object], device: torch.device, repeats: int) -> Measured:
    """Once to warm up (compilation, libraries, the allocator), then `repeats` times. Every error is a result here."""
    on_gpu = device.type == "cuda"
    free(device)
    samples = []
    try:
        action()
        if on_gpu:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(repeats):
            began = time.perf_counter()
            action()
            if on_gpu:
                torch.cuda.synchronize(device)
            samples.append(time.perf_counter() - began)
        return Measured(tuple(samples), torch.cuda.max_memory_allocated(device) if on_gpu else None)
    except Exception as error:
        return Measured(error=said(error))
    finally:
        free(device)  # behind an error too, whose frames have gone by then


def said(error: Exception) -> str:
    """On one line, short enough for a table."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


def free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def largest_that_fits(measured: Callable[[int], Measured], cap: int) -> tuple[int, str]:
    """The largest of 2, 4, 8, ... up to `cap` that fits, and why it went no further. 0: not even 2 does."""
    fits = 0
    for size in (2**n for n in range(1, cap.bit_length())):
        found = measured(size)
        if found.error is not None:
            return fits, f"{size}: {found.error}"
        fits = size
    return fits, f"more than {cap} was not tried"
