"""Attention of a packed row on a GPU: two variable-length flash attention calls a layer, whatever the row holds.

One call covers every segment's own past (prompts and completions alike), one every completion's view of its prompt;
they are merged by their log-sum-exp. The mathematics, backward pass included, is that of `split`.

Suffixes: N segments of the row, C completion positions (the concatenation of all groups' completions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmupt.algo.attention.base import cannot, has_blocks, longest_view
from mmupt.types import GroupSpan


@dataclass(frozen=True, slots=True)
class Lengths:
    """One variable-length call: cumulated query and key lengths i32[segments + 1] and their longest."""

    query: Tensor
    key: Tensor
    longest_query: int
    longest_key: int


@dataclass(frozen=True, slots=True)
class VarlenAttention:
    """For bf16 and fp16 on CUDA, with gradients. `looking_C` are the completion positions of the row, `seen_S` the
    positions of the prompts of groups that have completions."""

    own: Lengths
    cross: Lengths
    looking_C: Tensor
    seen_S: Tensor
    longest: int

    @classmethod
    def over(cls, spans: Sequence[GroupSpan], device: torch.device) -> VarlenAttention:
        """ConfigError for pictures that are seen both ways."""
        if has_blocks(spans):
            raise cannot("varlen")
        segments = [length for span in spans for length in (span.prompt, *span.completions)]
        answered = [span for span in spans if span.completions]
        looking = [torch.arange(span.first_completion, span.end) for span in answered]
        seen = [torch.arange(span.start, span.first_completion) for span in answered]
        return cls(
            own=_lengths(segments, segments, device),
            cross=_lengths([len(x) for x in looking], [len(x) for x in seen], device),
            looking_C=torch.cat([torch.empty(0, dtype=torch.long), *looking]).to(device),
            seen_S=torch.cat([torch.empty(0, dtype=torch.long), *seen]).to(device),
            longest=longest_view(spans),
        )

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
            raise cannot("varlen")
        query_LHd, key_LKd, value_LKd = (x[0].transpose(0, 1).contiguous() for x in (query_1HLd, key_1KLd, value_1KLd))
        return _Varlen.apply(query_LHd, key_LKd, value_LKd, self, scale)[None]


class _Varlen(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query_LHd: Tensor, key_LKd: Tensor, value_LKd: Tensor, plan: VarlenAttention, scale: float
    ) -> Tensor:
        out_LHd, lse_HL = _forward(query_LHd, key_LKd, value_LKd, plan.own, True, scale)
        if len(plan.looking_C):
            looking, seen = plan.looking_C, plan.seen_S
            prompt_CHd, lse_HC = _forward(query_LHd[looking], key_LKd[seen], value_LKd[seen], plan.cross, False, scale)
            own_HC = lse_HL[:, looking]
            weight_CH1 = torch.sigmoid(lse_HC - own_HC).transpose(0, 1)[..., None]
            own_CHd, prompt_CHd = (x.to(weight_CH1.dtype) for x in (out_LHd[looking], prompt_CHd))
            merged_CHd = torch.lerp(own_CHd, prompt_CHd, weight_CH1)
            out_LHd = out_LHd.index_copy(0, looking, merged_CHd.to(out_LHd.dtype))
            lse_HL = lse_HL.index_copy(1, looking, torch.logaddexp(own_HC, lse_HC))
        ctx.save_for_backward(query_LHd, key_LKd, value_LKd, out_LHd, lse_HL)
        ctx.plan, ctx.scale = plan, scale
        return out_LHd

    @staticmethod
    def backward(ctx: Any, grad_LHd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, out, lse = ctx.saved_tensors
        plan: VarlenAttention = ctx.plan
        grad_LHd = grad_LHd.contiguous()
        totals = list(_backward(grad_LHd, query, key, value, out, lse, plan.own, True, ctx.scale))
        if len(plan.looking_C):
            looking, seen = plan.looking_C, plan.seen_S
            pieces = _backward(
                grad_LHd[looking],
                query[looking],
                key[seen],
                value[seen],
                out[looking],
                lse[:, looking].contiguous(),
                plan.cross,
                False,
                ctx.scale,
            )
            for i, at in enumerate((looking, seen, seen)):
                totals[i] = totals[i].index_add(0, at, pieces[i])
        return totals[0], totals[1], totals[2], None, None


def _forward(
    query: Tensor, key: Tensor, value: Tensor, lengths: Lengths, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """out [L, H, d] and lse f32[H, L] of one variable-length call. Key and value [.., K, d] may have fewer heads: query
    head h reads head h // (H / K) of them, in the kernel itself."""
    out, lse, *_ = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        lengths.query,
        lengths.key,
        lengths.longest_query,
        lengths.longest_key,
        0.0,
        causal,
        False,
        scale=scale,
    )
    return out, lse


def _backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    lengths: Lengths,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, from the merged `out` and `lse`."""
    unused = torch.empty(0, device=query.device)
    state = torch.zeros(2, dtype=torch.uint64, device=query.device)  # of the dropout that there is none of
    return torch.ops.aten._flash_attention_backward(
        grad,
        query,
        key,
        value,
        out,
        lse,
        lengths.query,
        lengths.key,
        lengths.longest_query,
        lengths.longest_key,
        0.0,
        causal,
        state,
        unused,
        scale=scale,
    )


def _lengths(query: Sequence[int], key: Sequence[int], device: torch.device) -> Lengths:
    def cumulated(lengths: Sequence[int]) -> Tensor:
        return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)

    return Lengths(cumulated(query), cumulated(key), max(query, default=0), max(key, default=0))
