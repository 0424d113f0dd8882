"""Attention of a packed row through FlexAttention's block mask (arXiv 2412.05496): compiled on CUDA, where blocks that
nobody sees are skipped; elsewhere the same mask runs uncompiled, which is slow and serves as a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mmupt.algo.attention.base import has_blocks, longest_view
from mmupt.algo.attention.dense import places
from mmupt.types import GroupSpan

_BLOCK = 128  # positions to a side of a block, FlexAttention's default
_ROWS = 8  # rows of blocks that are looked at together


@dataclass(frozen=True, slots=True)
class FlexAttention:
    """The block mask of each window is made once and serves all its layers. Per position of the row: its group, its
    segment, its place in [prompt | own completion] and its block, as in `dense`."""

    group_L: Tensor
    segment_L: Tensor
    place_L: Tensor
    block_L: Tensor
    longest: int
    blocks: bool
    _masks: dict[int | None, BlockMask] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def over(cls, spans: Sequence[GroupSpan], device: torch.device) -> FlexAttention:
        columns = [places(span) for span in spans]
        segment_L, place_L, block_L = (torch.cat(column).to(device) for column in zip(*columns, strict=True))
        group_L = torch.arange(len(spans)).repeat_interleave(torch.tensor([len(c[0]) for c in columns])).to(device)
        return cls(group_L, segment_L, place_L, block_L, longest_view(spans), has_blocks(spans))

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        attend = _kernel(query_1HLd.is_cuda)
        mask = self.mask(window)
        out = attend(query_1HLd, key_1KLd, value_1KLd, block_mask=mask, scale=scale, enable_gqa=True)
        return out.transpose(1, 2)

    def mask(self, window: int | None = None) -> BlockMask:
        """Who sees whom in a layer of that window."""
        if window is not None and window >= self.longest:
            window = None
        if window not in self._masks:
            self._masks[window] = block_mask(self._sees(window), len(self.group_L), self.group_L.device)
        return self._masks[window]

    def _sees(self, window: int | None) -> MaskMod:
        group_L, segment_L, place_L, block_L = self.group_L, self.segment_L, self.place_L, self.block_L
        blocks = self.blocks

        def sees(batch: Any, head: Any, q: Tensor, k: Tensor) -> Tensor:
            own = (group_L[q] == group_L[k]) & ((segment_L[k] == 0) | (segment_L[q] == segment_L[k]))
            reached = place_L[k] <= place_L[q]
            if blocks:
                reached = reached | ((block_L[q] == block_L[k]) & (block_L[q] >= 0))
            if window is not None:
                reached = reached & (place_L[k] > place_L[q] - window)
            return own & reached

        return sees


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
