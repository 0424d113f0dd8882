"""Attention of a packed row through explicit masks, group by group: the plainest backend, for any device and dtype,
sliding windows and pictures that are seen both ways included.

Memory grows with the square of one group's length, never with the square of the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmupt.algo.attention.base import longest_view
from mmupt.types import GroupSpan


@dataclass(frozen=True, slots=True)
class DenseAttention:
    """The masks [L_g, L_g] of each window are made once and serve all its layers."""

    spans: tuple[GroupSpan, ...]
    device: torch.device
    _masks: dict[int | None, list[Tensor]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def over(cls, spans: Sequence[GroupSpan], device: torch.device) -> DenseAttention:
        return cls(tuple(spans), device)

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        outs: list[Tensor] = []
        for span, mask in zip(self.spans, self._masks_of(window), strict=True):
            at = slice(span.start, span.end)
            query, key, value = query_1HLd[:, :, at], key_1KLd[:, :, at], value_1KLd[:, :, at]
            outs.append(scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=True))
        return torch.cat(outs, dim=2).transpose(1, 2)

    def _masks_of(self, window: int | None) -> list[Tensor]:
        if window is not None and window >= longest_view(self.spans):
            window = None
        if window not in self._masks:
            self._masks[window] = [group_mask(span, self.device, window) for span in self.spans]
        return self._masks[window]


def group_mask(span: GroupSpan, device: torch.device, window: int | None = None) -> Tensor:
    """bool [L_g, L_g], True where query q may look at key k: k in the prompt or in q's own completion, and not behind q
    unless both are of one block; within `window` positions of q where there is one."""
    segment_L, place_L, block_L = (x.to(device) for x in places(span))
    sees = (segment_L[None, :] == 0) | (segment_L[:, None] == segment_L[None, :])
    ahead = place_L[None, :] > place_L[:, None]
    if span.blocks:
        ahead &= (block_L[None, :] != block_L[:, None]) | (block_L[:, None] < 0)
    sees &= ~ahead
    if window is not None:
        sees &= place_L[None, :] > place_L[:, None] - window
    return sees


def places(span: GroupSpan) -> tuple[Tensor, Tensor, Tensor]:
    """Of each position of a group: its segment (0 the prompt, k the k-th completion), its place in [prompt | own
    completion], and the block it lies in (-1 for none); i64[L_g] each."""
    segment_L = torch.arange(1 + len(span.completions)).repeat_interleave(
        torch.tensor([span.prompt, *span.completions])
    )
    place_L = torch.cat([torch.arange(span.prompt), *(span.prompt + torch.arange(n) for n in span.completions)])
    block_L = torch.full_like(place_L, -1)
    for index, (start, end) in enumerate(span.blocks):
        block_L[start:end] = index
    return segment_L, place_L, block_L
