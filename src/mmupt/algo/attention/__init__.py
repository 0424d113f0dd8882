"""Attention within a packed row, one file a backend, all exact: they differ in speed and in where they run."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.attention.base import Attention, cannot, has_blocks, longest_view
from mmupt.algo.attention.dense import DenseAttention
from mmupt.algo.attention.flex import FlexAttention
from mmupt.algo.attention.split import SplitAttention
from mmupt.algo.attention.varlen import VarlenAttention
from mmupt.algo.settings import AttentionKind
from mmupt.errors import ConfigError
from mmupt.types import GroupSpan

CAUSAL_ONLY: tuple[AttentionKind, ...] = ("split", "varlen")
"""Backends that know no sliding windows and no pictures that are seen both ways."""


def packed_attention(
    spans: Sequence[GroupSpan],
    kind: AttentionKind,
    device: torch.device,
    dtype: torch.dtype,
    windows: Sequence[int] = (),
) -> Attention:
    """The backend `kind` for a row of `spans`. "auto" is `split` on a CPU, `varlen` on CUDA in half precision, and
    `dense` elsewhere, and where one of the model's `windows` hides something in this row, or a picture is seen both
    ways.
    ConfigError where a named backend cannot run on `device` in `dtype`, or cannot compute this row."""
    more_than_causal = has_blocks(spans) or any(window < longest_view(spans) for window in windows)
    if kind == "auto":
        half_on_cuda = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
        kind = "split" if device.type == "cpu" else "varlen" if half_on_cuda else "dense"
        kind = "dense" if more_than_causal else kind
    if more_than_causal and kind in CAUSAL_ONLY:
        raise cannot(kind)
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


__all__ = ["CAUSAL_ONLY", "Attention", "cannot", "packed_attention"]
