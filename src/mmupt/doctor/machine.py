"""The machine: Python, memory, disk, and the device that the recipe asks for."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding
from mmupt.errors import ConfigError

GIB = 2**30
_LEAST_DISK = 2 * GIB


def machine(case: Case) -> Iterator[Finding]:
    """What there is, and whether the recipe's device is."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = free_memory()
    memory = "" if free is None else f", {free / GIB:.0f} GiB of memory free"
    yield Finding(
        "machine", "ok", f"Python {platform.python_version()} on {platform.system()}, {cores} CPU cores{memory}"
    )
    disk = shutil.disk_usage(case.folder).free
    if disk < _LEAST_DISK:
        yield Finding(
            "machine",
            "warning",
            f"{disk / GIB:.1f} GiB are free in {case.folder}",
            "make room, or set run_dir elsewhere",
        )
    yield from _device(case)


def free_memory() -> int | None:
    """Bytes that can still be used, None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(found) * 1024 if found is not None else None


def _device(case: Case) -> Iterator[Finding]:
    import torch

    from mmupt.runtime.device import pick_device

    wanted = case.recipe.model.device if case.recipe is not None else "auto"
    try:
        device = pick_device(wanted)
    except ConfigError as error:
        yield Finding("machine", "error", str(error), "name a device that is there")
        return
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        free, total = torch.cuda.mem_get_info(device)
        count = torch.cuda.device_count()
        yield Finding("machine", "ok", f"{count} x {name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free on {device}")
        if case.recipe is not None and case.recipe.model.dtype == "bfloat16" and not torch.cuda.is_bf16_supported():
            yield Finding(
                "machine",
                "error",
                f'model.dtype is "bfloat16", which {name} does not compute in',
                'set it to "float32"',
            )
        return
    yield Finding("machine", "ok", f"computing on the CPU ({torch.get_num_threads()} threads)")
    if shutil.which("nvidia-smi") is not None and not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a build without CUDA"
        yield Finding(
            "machine",
            "warning",
            f"there is an NVIDIA driver, but torch {torch.__version__} ({build}) sees no GPU",
            "install the torch build that fits the driver (nvidia-smi shows its CUDA version)",
        )
