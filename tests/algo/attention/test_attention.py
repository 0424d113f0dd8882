"""Each backend against softmax written out with the mask written out, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from mmupt.algo.attention import packed_attention, varlen
from mmupt.algo.attention.base import Attention, regions
from mmupt.algo.attention.dense import DenseAttention
from mmupt.algo.attention.flex import FlexAttention
from mmupt.algo.attention.split import SplitAttention
from mmupt.algo.attention.varlen import Lengths, VarlenAttention
from mmupt.errors import ConfigError
from mmupt.types import GroupSpan

CPU = torch.device("cpu")
SCALE = 0.3

shapes = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(1, 4), min_size=0, max_size=4)), min_size=1, max_size=4
)


def spans_of(shape: Sequence[tuple[int, Sequence[int]]]) -> list[GroupSpan]:
    spans: list[GroupSpan] = []
    for prompt, completions in shape:
        spans.append(GroupSpan(spans[-1].end if spans else 0, prompt, tuple(completions)))
    return spans


def with_blocks(spans: Sequence[GroupSpan]) -> list[GroupSpan]:
    """Two neighbouring blocks in every prompt that has room for them, one token in front."""
    return [replace(span, blocks=((1, 3), (3, 5)) if span.prompt >= 5 else ()) for span in spans]


def visible(spans: Sequence[GroupSpan], window: int | None = None) -> Tensor:
    """bool [L, L], position by position."""
    if window is not None or any(span.blocks for span in spans):
        return visible_alone(spans, window)
    length = spans[-1].end
    mask = torch.zeros(length, length, dtype=torch.bool)
    for span in spans:
        for q in range(span.start, span.first_completion):
            mask[q, span.start : q + 1] = True
        at = span.first_completion
        for n in span.completions:
            for q in range(at, at + n):
                mask[q, span.start : span.first_completion] = True
                mask[q, at : q + 1] = True
            at += n
    return mask


def visible_alone(spans: Sequence[GroupSpan], window: int | None) -> Tensor:
    """The same from the mask of each completion alone with its prompt, which is what transformers' masks are made of:
    (causal, or of one block) and less than `window` positions back."""
    length = spans[-1].end
    mask = torch.zeros(length, length, dtype=torch.bool)
    for span in spans:
        at = span.first_completion
        for n in span.completions or (0,):
            rows = [*range(span.start, span.first_completion), *range(at, at + n)]
            for q, row in enumerate(rows):
                for k, column in enumerate(rows):
                    together = any(a <= q < b and a <= k < b for a, b in span.blocks)
                    mask[row, column] |= (k <= q or together) and (window is None or k > q - window)
            at += n
    return mask


def reference(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = (query @ key.transpose(-1, -2) * SCALE).masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def inputs(length: int, heads: int, kv_heads: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    sizes = (heads, kv_heads, kv_heads)
    # As the projections of a model lay them out: [1, L, H, d], seen as [1, H, L, d].
    raw = [torch.randn(1, length, n, 8, generator=generator, dtype=dtype) * 3 for n in sizes]
    return [x.transpose(1, 2).requires_grad_() for x in raw]


def check(
    attention: Attention, spans: Sequence[GroupSpan], heads: int, kv_heads: int, window: int | None = None
) -> None:
    ours, theirs = inputs(spans[-1].end, heads, kv_heads), inputs(spans[-1].end, heads, kv_heads)
    out = attention(0, *ours, SCALE, window)
    expected = reference(*theirs, visible(spans, window))
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-10)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    grads = torch.autograd.grad((out * weights).sum(), ours)
    for grad, right in zip(grads, torch.autograd.grad((expected * weights).sum(), theirs), strict=True):
        torch.testing.assert_close(grad, right, atol=1e-11, rtol=1e-9)


@given(shapes, st.sampled_from([(1, 1), (4, 4), (4, 2)]))
@settings(deadline=None, max_examples=60)
def test_split(shape: list[tuple[int, list[int]]], heads: tuple[int, int]) -> None:
    spans = spans_of(shape)
    check(SplitAttention.over(spans), spans, *heads)


@given(shapes, st.sampled_from([(4, 4), (4, 2)]))
@settings(deadline=None, max_examples=20)
def test_dense(shape: list[tuple[int, list[int]]], heads: tuple[int, int]) -> None:
    spans = spans_of(shape)
    check(DenseAttention.over(spans, CPU), spans, *heads)


@given(shapes, st.sampled_from([None, 1, 2, 3, 5, 8, 30]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_dense_with_windows_and_blocks(shape: list[tuple[int, list[int]]], window: int | None, blocks: bool) -> None:
    spans = with_blocks(spans_of(shape)) if blocks else spans_of(shape)
    check(DenseAttention.over(spans, CPU), spans, 4, 2, window)


@pytest.mark.parametrize("kind", [SplitAttention, VarlenAttention])
def test_what_a_causal_backend_cannot_compute_it_refuses(kind: Any) -> None:
    """And a window that hides nothing is none."""
    spans, where = spans_of([(5, [2, 4]), (3, [2])]), () if kind is SplitAttention else (CPU,)
    query, key, value = inputs(spans[-1].end, 2, 2)
    with pytest.raises(ConfigError, match="neither sliding windows"):
        kind.over(spans, *where)(0, query, key, value, SCALE, 8)
    with pytest.raises(ConfigError, match="neither sliding windows"):
        kind.over(with_blocks(spans), *where)
    if kind is SplitAttention:
        check(SplitAttention.over(spans), spans, 2, 2, 9)


def test_split_with_scores_far_apart() -> None:
    """Merging by log-sum-exp must hold where one region has all the weight, and where neither e^lse is a float."""
    spans = spans_of([(3, [2, 2])])
    query, key, value = inputs(spans[-1].end, 2, 2)
    for factor in (30.0, -30.0, 3000.0):
        pushed = key.detach().clone()
        pushed[:, :, :3] *= factor
        out = SplitAttention.over(spans)(0, query, pushed, value, SCALE)
        torch.testing.assert_close(out, reference(query, pushed, value, visible(spans)), atol=1e-10, rtol=1e-8)


def test_bfloat16_rounds_once_more_than_fp32_and_not_worse() -> None:
    spans = spans_of([(40, [30] * 6)])
    exact = inputs(spans[-1].end, 4, 2, torch.float32)
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    out = SplitAttention.over(spans)(0, *rounded, SCALE)
    right = reference(*[x.detach().bfloat16().float().requires_grad_() for x in exact], visible(spans))
    assert out.dtype == torch.bfloat16
    assert (out.float() - right).abs().max() < 0.02 * right.abs().max()
    grads = torch.autograd.grad(out.float().sum(), rounded)
    assert all(g.dtype == torch.bfloat16 and g.isfinite().all() for g in grads)


@given(shapes)
def test_regions_hold_each_visible_pair_exactly_once(shape: list[tuple[int, list[int]]]) -> None:
    spans = spans_of(shape)
    count = torch.zeros(spans[-1].end, spans[-1].end, dtype=torch.int)
    found = regions(spans)
    for run in found.causal:
        for start in range(run.start, run.end, run.length):
            end = start + run.length
            count[start:end, start:end] += torch.ones(run.length, run.length, dtype=torch.int).tril()
    for cross in found.cross:
        count[cross.start : cross.end, cross.prompt_start : cross.start] += 1
    assert torch.equal(count, visible(spans).int())


# The variable-length kernel exists on CUDA only. What is around it (which positions each call gets, the merge, the
# backward pass from merged values) is checked here with the kernel's contract written out.


def kernel_forward(
    query: Tensor, key: Tensor, value: Tensor, lengths: Lengths, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    out, lse = torch.empty_like(query), query.new_empty(query.shape[1], query.shape[0])
    for q, k in segments(lengths):
        scores = scores_of(query[q], key[k], causal, scale)
        lse[:, q] = scores.logsumexp(-1)
        out[q] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[k])
    assert [int(lengths.query[-1]), int(lengths.key[-1])] == [len(query), len(key)]
    return out, lse


def kernel_backward(
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
    heads = key.shape[1]
    key, value = (x.repeat_interleave(query.shape[1] // heads, 1) for x in (key, value))
    totals = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    for q, k in segments(lengths):
        p = (scores_of(query[q], key[k], causal, scale) - lse[:, q, None]).exp()
        d_p = torch.einsum("qhd,khd->hqk", grad[q], value[k])
        d_s = p * (d_p - (grad[q] * out[q]).sum(-1).transpose(0, 1)[..., None]) * scale
        totals[0][q] = torch.einsum("hqk,khd->qhd", d_s, key[k])
        totals[1][k] = torch.einsum("hqk,qhd->khd", d_s, query[q])
        totals[2][k] = torch.einsum("hqk,qhd->khd", p, grad[q])
    d_key, d_value = (x.unflatten(1, (heads, -1)).sum(2) for x in totals[1:])
    return totals[0], d_key, d_value


def segments(lengths: Lengths) -> list[tuple[slice, slice]]:
    q, k = lengths.query.tolist(), lengths.key.tolist()
    assert lengths.longest_query == max((b - a for a, b in pairwise(q)), default=0)
    assert lengths.longest_key == max((b - a for a, b in pairwise(k)), default=0)
    return [(slice(q[i], q[i + 1]), slice(k[i], k[i + 1])) for i in range(len(q) - 1)]


def scores_of(query: Tensor, key: Tensor, causal: bool, scale: float) -> Tensor:
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[1:], dtype=torch.bool).tril(), -torch.inf)
    return scores


@pytest.fixture
def emulated_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen, "_forward", kernel_forward)
    monkeypatch.setattr(varlen, "_backward", kernel_backward)


@pytest.mark.usefixtures("emulated_kernel")
@pytest.mark.parametrize("shape", [[(4, [2, 3, 1])], [(1, [1]), (5, [4, 4])], [(3, []), (2, [2])], [(3, [])]])
@pytest.mark.parametrize("heads", [(2, 2), (4, 2)])
def test_varlen_around_its_kernel(shape: list[tuple[int, list[int]]], heads: tuple[int, int]) -> None:
    spans = spans_of(shape)
    check(VarlenAttention.over(spans, CPU), spans, *heads)


# FlexAttention has no backward pass on a CPU. Its forward pass there, and the block mask against torch's own.


@pytest.mark.parametrize("shape", [[(4, [2, 3])], [(130, [40] * 4), (7, []), (300, [1, 129])], [(1100, [500] * 3)]])
def test_flex(shape: list[tuple[int, list[int]]]) -> None:
    spans = spans_of(shape)
    query, key, value = (x.detach() for x in inputs(spans[-1].end, 4, 2, torch.float32))
    attention = FlexAttention.over(spans, CPU)
    out = attention(0, query, key, value, SCALE)
    torch.testing.assert_close(out, reference(query, key, value, visible(spans)), atol=1e-5, rtol=1e-5)

    length, ours = spans[-1].end, attention.mask()
    theirs = create_block_mask(ours.mask_mod, None, None, length, length, device="cpu")
    assert ours.seq_lengths == theirs.seq_lengths
    for name in ("", "full_"):
        for part in ("kv_num_blocks", "kv_indices", "q_num_blocks", "q_indices"):
            assert torch.equal(getattr(ours, name + part), getattr(theirs, name + part)), name + part


@pytest.mark.parametrize("window", [None, 1, 100, 200])
@pytest.mark.parametrize("blocks", [False, True])
def test_flex_with_windows_and_blocks(window: int | None, blocks: bool) -> None:
    spans = spans_of([(130, [40] * 2), (7, []), (100, [1, 29])])
    spans = with_blocks(spans) if blocks else spans
    query, key, value = (x.detach() for x in inputs(spans[-1].end, 4, 2, torch.float32))
    out = FlexAttention.over(spans, CPU)(0, query, key, value, SCALE, window)
    expected = reference(query, key, value, visible(spans, window))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["split", "varlen"])
def test_a_backend_that_cannot_run_here_is_refused_by_name(kind: str) -> None:
    spans, device = spans_of([(3, [2])]), torch.device("meta")
    with pytest.raises(ConfigError, match=f'model.attention = "{kind}".*use "auto"'):
        packed_attention(spans, kind, device, torch.float32)  # type: ignore[arg-type]


def test_auto_chooses_by_device_and_dtype() -> None:
    spans = spans_of([(3, [2])])
    assert isinstance(packed_attention(spans, "auto", CPU, torch.bfloat16), SplitAttention)
    assert isinstance(packed_attention(spans, "auto", torch.device("meta"), torch.float32), DenseAttention)


def test_auto_chooses_by_what_the_row_needs() -> None:
    spans = spans_of([(5, [2, 4])])
    assert isinstance(packed_attention(spans, "auto", CPU, torch.float32, windows=(9,)), SplitAttention)
    assert isinstance(packed_attention(spans, "auto", CPU, torch.float32, windows=(8,)), DenseAttention)
    assert isinstance(packed_attention(with_blocks(spans), "auto", CPU, torch.float32), DenseAttention)
    with pytest.raises(ConfigError, match='"split" computes neither'):
        packed_attention(spans, "split", CPU, torch.float32, windows=(8,))


def test_memory_of_split_does_not_grow_with_the_square_of_the_row(largest_tensor: Callable[..., int]) -> None:
    spans = spans_of([(200, [50] * 10), (200, [50] * 10)])
    query, key, value = inputs(spans[-1].end, 2, 2)

    def forward_and_backward() -> None:
        SplitAttention.over(spans)(0, query, key, value, SCALE).sum().backward()

    assert largest_tensor(forward_and_backward) <= query.numel()
