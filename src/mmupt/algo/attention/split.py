"""Attention of a packed row on a CPU, region by region, without any mask.

Each region is one call of PyTorch's fused CPU kernel. A completion's position lies in two regions, its own past and
its prompt; their softmaxes are merged by their log-sum-exp, which is exact:

    out = (out_1 e^lse_1 + out_2 e^lse_2) / (e^lse_1 + e^lse_2)

In the backward pass a region's probabilities are e^(score - lse) with the merged lse, so the kernel's own backward,
given the merged out and lse, computes the region's share of every gradient (the same identity carries ring attention,
arXiv 2310.01889). Memory grows with L, not with L x L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmupt.algo.attention.base import CausalRun, Regions, cannot, has_blocks, longest_view, regions
from mmupt.types import GroupSpan

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class SplitAttention:
    """For fp32, fp64 and bf16 on a CPU, with gradients."""

    regions: Regions
    longest: int

    @classmethod
    def over(cls, spans: Sequence[GroupSpan]) -> SplitAttention:
        """ConfigError for pictures that are seen both ways."""
        if has_blocks(spans):
            raise cannot("split")
        return cls(regions(spans), longest_view(spans))

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        if window is not None and window < self.longest:
            raise cannot("split")
        repeats = query_1HLd.shape[1] // key_1KLd.shape[1]
        if repeats > 1:  # the kernel wants as many key heads as query heads
            key_1KLd, value_1KLd = (x.repeat_interleave(repeats, dim=1) for x in (key_1KLd, value_1KLd))
        return _Split.apply(query_1HLd, key_1KLd, value_1KLd, self.regions, scale)


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, regions: Regions, scale: float) -> Tensor:
        _, heads, length, size = query.shape
        out_1LHd = query.new_empty(1, length, heads, size)
        out = out_1LHd.transpose(1, 2)
        lse = torch.empty(1, length, heads, dtype=_lse_dtype(query), device=query.device).transpose(1, 2)
        for run in regions.causal:
            out_run, lse_run = _forward(*(_segments(x, run) for x in (query, key, value)), 0.0, True, scale=scale)
            _segments(out, run).copy_(out_run)
            _segments(lse[..., None], run)[..., 0].copy_(lse_run)
        for region in regions.cross:
            seen, looking = slice(region.prompt_start, region.start), slice(region.start, region.end)
            out_prompt, lse_prompt = _forward(query[:, :, looking], key[:, :, seen], value[:, :, seen], scale=scale)
            _merge(out[:, :, looking], lse[:, :, looking], out_prompt, lse_prompt)
        ctx.save_for_backward(query, key, value, out_1LHd, lse)
        ctx.regions, ctx.scale = regions, scale
        return out_1LHd

    @staticmethod
    def backward(ctx: Any, grad_1LHd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, out_1LHd, lse = ctx.saved_tensors
        out, grad = out_1LHd.transpose(1, 2), grad_1LHd.transpose(1, 2)
        # Regions of one position add up: in fp32 also where the row is bf16, as a kernel would keep them inside. Each
        # position lies in exactly one causal run, which comes first and writes; cross regions add.
        d_query, d_key, d_value = (_empty_like(x) for x in (query, key, value))
        for run in ctx.regions.causal:
            parts = [_segments(x, run) for x in (grad, query, key, value, out)]
            pieces = _backward(*parts, _segments(lse[..., None], run)[..., 0], 0.0, True, scale=ctx.scale)
            for total, piece in zip((d_query, d_key, d_value), pieces, strict=True):
                _segments(total, run).copy_(piece)
        for region in ctx.regions.cross:
            seen, looking = slice(region.prompt_start, region.start), slice(region.start, region.end)
            pieces = _backward(
                grad[:, :, looking],
                query[:, :, looking],
                key[:, :, seen],
                value[:, :, seen],
                out[:, :, looking],
                lse[:, :, looking],
                0.0,
                False,
                scale=ctx.scale,
            )
            d_query[:, :, looking] += pieces[0]
            d_key[:, :, seen] += pieces[1]
            d_value[:, :, seen] += pieces[2]
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), None, None


def _segments(x_1HLd: Tensor, run: CausalRun) -> Tensor:
    """The run's part of `x` as a view [count, H, length, d]."""
    return x_1HLd[0, :, run.start : run.end].unflatten(1, (run.count, run.length)).transpose(0, 1)


def _merge(out: Tensor, lse: Tensor, other_out: Tensor, other_lse: Tensor) -> None:
    """Put the softmax over another set of keys into `out` and `lse`, in place. The weight of the other set is
    sigmoid(other_lse - lse)."""
    weight = torch.sigmoid(other_lse - lse)[..., None]
    out.copy_(torch.lerp(out.to(weight.dtype), other_out.to(weight.dtype), weight))
    lse.copy_(torch.logaddexp(lse, other_lse))


def _lse_dtype(query: Tensor) -> torch.dtype:
    return torch.float64 if query.dtype == torch.float64 else torch.float32


def _empty_like(x: Tensor) -> Tensor:
    """Room in the layout [1, L, H, d], in which the projections behind want their gradient."""
    _, heads, length, size = x.shape
    return torch.empty(1, length, heads, size, dtype=_lse_dtype(x), device=x.device).transpose(1, 2)
