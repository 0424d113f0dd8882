"""Attention of a packed row through explicit masks, group by group: the plainest backend, for any device and dtype.

Memory grows with the square of one group's length, never with the square of the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmupt.types import GroupSpan


@dataclass(frozen=True, slots=True)
class DenseAttention:
    """The masks [L_g, L_g] are made once and serve all layers."""

    parts: tuple[tuple[slice, Tensor], ...]

    @classmethod
    def over(cls, spans: Sequence[GroupSpan], device: torch.device) -> DenseAttention:
        return cls(tuple((slice(span.start, span.end), group_mask(span, device)) for span in spans))

    def __call__(self, layer: int, query_1HLd: Tensor, key_1KLd: Tensor, value_1KLd: Tensor, scale: float) -> Tensor:
        outs = [
            scaled_dot_product_attention(
                query_1HLd[:, :, at], key_1KLd[:, :, at], value_1KLd[:, :, at], mask, scale=scale, enable_gqa=True
            )
            for at, mask in self.parts
        ]
        return torch.cat(outs, dim=2).transpose(1, 2)


def group_mask(span: GroupSpan, device: torch.device) -> Tensor:
    """bool [L_g, L_g], True where query q may look at key k: k not behind q, and in the prompt or in q's own
    completion."""
    lengths = torch.tensor([span.prompt, *span.completions])
    segment_L = torch.arange(len(lengths)).repeat_interleave(lengths).to(device)
    own = (segment_L[None, :] == 0) | (segment_L[:, None] == segment_L[None, :])
    return own & torch.ones(own.shape, dtype=torch.bool, device=device).tril()
