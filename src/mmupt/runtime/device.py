"""Which device a run computes on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mmupt.errors import ConfigError

_WHERE = "model.device"


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a GPU and else the CPU; or `cpu`, `cuda`, `cuda:N`. Apple's
    `mps` has no float64, which sampling adds probabilities up in.

    Raises ConfigError for a name that is unknown or a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f'"{name}" is no device; choose "auto", "cpu", "cuda" or "cuda:N"', where=_WHERE)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = f"this machine has {torch.cuda.device_count()} CUDA devices that torch {torch.__version__} can use"
        raise ConfigError(f'"{name}" is not there: {there}; choose "auto" or "cpu"', where=_WHERE)
    return device


def device_name(device: torch.device) -> str:
    """For people: "CPU", or what the GPU calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Forwards inside run in `dtype`: nothing changes for float32, bfloat16 is torch's autocast on that device.

    float16 would need loss scaling, which nothing here does. Raises ConfigError for it and any other dtype.
    """
    if dtype == torch.float32:
        return nullcontext()
    if dtype == torch.bfloat16:
        return torch.autocast(device.type, dtype=dtype)
    raise ConfigError(f"{dtype} is not supported; choose float32 or bfloat16", where="model.dtype")
