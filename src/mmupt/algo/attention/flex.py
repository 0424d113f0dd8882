"""Attention of a packed row through FlexAttention's block mask (arXiv 2412.05496): compiled on CUDA, where blocks that
nobody sees are skipped; elsewhere the same mask runs uncompiled, which is slow and serves as a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mmupt.types import GroupSpan

_BLOCK = 128  # positions to a side of a block, FlexAttention's default
_ROWS = 8  # rows of blocks that are looked at together


@dataclass(frozen=True, slots=True)
class FlexAttention:
    """The block mask is made once and serves all layers."""

    mask: BlockMask

    @classmethod
    def over(cls, spans: Sequence[GroupSpan], device: torch.device) -> FlexAttention:
        lengths = [length for span in spans for length in (span.prompt, *span.completions)]
        group = [g for g, span in enumerate(spans) for _ in (span.prompt, *span.completions)]
        prompt = [k == 0 for span in spans for k in range(1 + len(span.completions))]
        count = torch.tensor(lengths)
        segment_L = torch.arange(len(lengths)).repeat_interleave(count).to(device)
        group_L = torch.tensor(group).repeat_interleave(count).to(device)
        prompt_L = torch.tensor(prompt).repeat_interleave(count).to(device)

        def sees(batch: Any, head: Any, q: Tensor, k: Tensor) -> Tensor:
            own = (prompt_L[k] & (group_L[q] == group_L[k])) | (segment_L[q] == segment_L[k])
            return own & (k <= q)

        return cls(block_mask(sees, spans[-1].end, device))

    def __call__(self, layer: int, query_1HLd: Tensor, key_1KLd: Tensor, value_1KLd: Tensor, scale: float) -> Tensor:
        attend = _kernel(query_1HLd.is_cuda)
        out = attend(query_1HLd, key_1KLd, value_1KLd, block_mask=self.mask, scale=scale, enable_gqa=True)
        return out.transpose(1, 2)


class MaskMod(Protocol):
    """Which positions see which, as FlexAttention asks for it: indices in, bool out, element by element."""

    def __call__(self, batch: Any, head: Any, q: Tensor, k: Tensor) -> Tensor: ...


def block_mask(sees: MaskMod, length: int, device: torch.device) -> BlockMask:
    """What torch's `create_block_mask` makes of `sees` for a row of `length`, a few rows of blocks at a time: that
    function writes [L, L] out several times, 5 GB each for a row of 70,000, and compiling it instead costs a trace."""
    blocks = -(-length // _BLOCK)
    at_L = torch.arange(blocks * _BLOCK, device=device)
    inside_L, last = at_L < length, length - 1  # the last block may stand over
    partial, full = [], []
    for at_Q in at_L.split(_ROWS * _BLOCK):
        seen_QL = sees(None, None, at_Q.clamp(max=last)[:, None], at_L.clamp(max=last)[None, :])
        seen_QL = seen_QL & inside_L[at_Q][:, None] & inside_L
        count = seen_QL.view(-1, _BLOCK, blocks, _BLOCK).sum((1, 3))
        full.append(count == _BLOCK * _BLOCK)
        partial.append((count > 0) & ~full[-1])
    return BlockMask.from_kv_blocks(
        *_listed(torch.cat(partial)), *_listed(torch.cat(full)), _BLOCK, mask_mod=sees, seq_lengths=(length, length)
    )


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Of bool [rows, columns]: how many are chosen in each row, i32[1, 1, rows], and the columns, the chosen first,
    i32[1, 1, rows, columns]."""
    columns = chosen.int().argsort(dim=1, descending=True, stable=True)
    return chosen.sum(1, dtype=torch.int32)[None, None], columns.int()[None, None].contiguous()


@cache
def _kernel(compiled: bool) -> Any:
    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention
