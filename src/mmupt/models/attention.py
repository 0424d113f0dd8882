"""Our attention functions inside a transformers model, by transformers' own extension point.

The language model's function finds the backend of a packed row among the forward's keyword arguments; a forward that
brings none (a user's plain `model(...)` or `generate`) runs sdpa as usual. The vision tower's computes all windows of
all pictures together instead of one after another.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mmupt.algo.attention.base import Attention

PACKED = "mmupt_packed"
WINDOWS = "mmupt_flash_windows"
"""Names under which transformers knows them. A vision tower hands the borders of its windows over only to a function
with "flash" in its name."""


def _packed(
    module: nn.Module,
    query_1HLd: Tensor,
    key_1KLd: Tensor,
    value_1KLd: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Attention | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    if packed is None:  # transformers' mask holds the window
        return sdpa_attention_forward(
            module, query_1HLd, key_1KLd, value_1KLd, attention_mask, scaling=scaling, **others
        )
    query_1HLd, key_1KLd, value_1KLd = _autocast(query_1HLd, key_1KLd, value_1KLd)
    assert scaling is not None and isinstance(module.layer_idx, int)
    return packed(module.layer_idx, query_1HLd, key_1KLd, value_1KLd, scaling, sliding_window), None


def _windows(
    module: nn.Module,
    query_1HLd: Tensor,
    key_1HLd: Tensor,
    value_1HLd: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    **others: Any,
) -> tuple[Tensor, None]:
    """Every patch sees its window. Windows of one length that follow each other are one batch."""
    outs: list[Tensor] = []
    at = 0
    for length, run in groupby(cu_seq_lens_q.diff().tolist()):
        count = len(list(run))
        query_NHWd, key_NHWd, value_NHWd = (
            x[0, :, at : at + count * length].unflatten(1, (count, length)).transpose(0, 1)
            for x in (query_1HLd, key_1HLd, value_1HLd)
        )
        out_NHWd = scaled_dot_product_attention(query_NHWd, key_NHWd, value_NHWd, scale=scaling)
        outs.append(out_NHWd.transpose(1, 2).flatten(0, 1))
        at += count * length
    return torch.cat(outs)[None], None


def _autocast(*tensors: Tensor) -> list[Tensor]:
    """As sdpa does by itself under autocast: the rotary embedding has made fp32 of bf16."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    return [x.to(torch.get_autocast_dtype(device)) for x in tensors]


AttentionInterface.register(PACKED, _packed)
AttentionMaskInterface.register(PACKED, sdpa_mask)
AttentionInterface.register(WINDOWS, _windows)
