"""Attention within a packed row, one file a backend, all exact: they differ in speed and in where they run."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.attention.base import Attention
from mmupt.algo.attention.dense import DenseAttention
from mmupt.algo.attention.flex import FlexAttention
from mmupt.algo.attention.split import SplitAttention
from mmupt.algo.attention.varlen import VarlenAttention
from mmupt.algo.settings import AttentionKind
from mmupt.errors import ConfigError
from mmupt.types import GroupSpan


def packed_attention(
    spans: Sequence[GroupSpan], kind: AttentionKind, device: torch.device, dtype: torch.dtype
) -> Attention:
    """The backend `kind` for a row of `spans`. "auto" is `split` on a CPU, `varlen` on CUDA in half precision, and
    `dense` elsewhere. ConfigError where a named backend cannot run on `device` in `dtype`."""
    if kind == "auto":
        half_on_cuda = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
        kind = "split" if device.type == "cpu" else "varlen" if half_on_cuda else "dense"
    if kind == "split":
        if device.type != "cpu":
            raise ConfigError(f'model.attention = "split" runs on a CPU, not on {device}; use "auto"')
        return SplitAttention.over(spans)
    if kind == "varlen":
        if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
            raise ConfigError(
                f'model.attention = "varlen" needs CUDA and bfloat16, not {device} and {dtype}; use "auto"'
            )
        return VarlenAttention.over(spans, device)
    if kind == "flex":
        return FlexAttention.over(spans, device)
    return DenseAttention.over(spans, device)


__all__ = ["Attention", "packed_attention"]
