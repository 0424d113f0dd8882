"""Our attention backends against each other: first whether they are right, then forward and backward of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from gpu.measure import Measured, free, measure, said
from gpu.model import with_attention
from torch import Tensor

from mmupt.algo.attention import Attention, packed_attention
from mmupt.algo.packing import pack
from mmupt.algo.settings import AttentionKind
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.train.update import ScoredGroup
from mmupt.types import GroupSpan

# Against "dense" in fp32. Of one layer: the largest difference over the largest value. Of the whole model: log-probs.
LAYER_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
LOGPROB_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-1}


@dataclass(frozen=True, slots=True)
class Heads:
    """H query heads, K key and value heads, of size d."""

    query: int
    key: int
    size: int


def backends(device: torch.device) -> tuple[AttentionKind, ...]:
    return ("varlen", "flex", "dense") if device.type == "cuda" else ("split", "dense")


def layer_inputs(heads: Heads, length: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Query, key and value as a model's projections lay them out; wide enough that attention is not flat."""
    generator = torch.Generator(device).manual_seed(length)
    counts = (heads.query, heads.key, heads.key)
    raw = [torch.randn(1, length, n, heads.size, generator=generator, device=device) for n in counts]
    return [(2 * x).to(dtype).transpose(1, 2).detach().requires_grad_() for x in raw]


def layer_errors(
    kind: AttentionKind, span: GroupSpan, heads: Heads, device: torch.device, dtype: torch.dtype
) -> dict[str, float]:
    """Relative errors of the output and of each gradient against dense in fp32 on the same (rounded) inputs."""
    inputs = layer_inputs(heads, span.end, device, dtype)
    exact = [x.detach().float().requires_grad_() for x in inputs]
    results = []
    backends: tuple[AttentionKind, AttentionKind] = (kind, "dense")
    for name, tensors in zip(backends, (inputs, exact), strict=True):
        query, key, value = tensors
        out = packed_attention([span], name, device, query.dtype)(0, query, key, value, heads.size**-0.5)
        generator = torch.Generator(device).manual_seed(1)
        grad = torch.randn(out.shape, generator=generator, device=device).to(dtype).to(out.dtype)
        results.append([out.detach(), *torch.autograd.grad(out, tensors, grad)])
    names = ("out", "d_query", "d_key", "d_value")
    return {
        n: float((ours.float() - right).abs().max() / right.abs().max())
        for n, ours, right in zip(names, *results, strict=True)
    }


def layer_times(
    kind: AttentionKind, span: GroupSpan, heads: Heads, device: torch.device, dtype: torch.dtype, repeats: int
) -> tuple[Measured, Measured]:
    """Of one layer: the forward pass alone, and forward with backward."""
    query, key, value = inputs = layer_inputs(heads, span.end, device, dtype)
    plan: list[Attention] = []  # made once a row and not once a layer, so not timed; and it may not fit

    def forward() -> Tensor:
        if not plan:
            plan.append(packed_attention([span], kind, device, dtype))
        return plan[0](0, query, key, value, heads.size**-0.5)

    def without_gradient() -> None:
        with torch.no_grad():
            forward()

    def both() -> None:
        out = forward()
        torch.autograd.grad(out, inputs, torch.ones_like(out))

    return measure(without_gradient, device, repeats), measure(both, device, repeats)


def logprob_errors(loaded: LoadedModel, group: ScoredGroup) -> dict[str, dict[str, float] | str]:
    """Log-probs of the whole model through each backend against dense in fp32: largest and mean difference."""
    batch = pack([group.item])

    def logprobs(kind: AttentionKind, dtype: torch.dtype) -> Tensor:
        return no_grad_logprobs(with_attention(loaded, kind, dtype), batch, temperature=1.0, chunk=1024).float()

    right_T = logprobs("dense", torch.float32)
    found: dict[str, dict[str, float] | str] = {}
    for kind in backends(loaded.device):
        try:
            difference_T = (logprobs(kind, loaded.dtype) - right_T).abs()
            found[kind] = {"max": float(difference_T.max()), "mean": float(difference_T.mean())}
        except Exception as error:
            found[kind] = said(error)
        free(loaded.device)
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """One backend on one row."""

    kind: AttentionKind
    group: int
    completion: int
    errors: dict[str, float] | str | None  # None where it was not compared
    forward: Measured
    both: Measured
    right: bool | None


def compare(
    span: GroupSpan, heads: Heads, device: torch.device, dtype: torch.dtype, repeats: int, check: bool
) -> list[Row]:
    """Each backend on a row of one group. `check` also compares results, for which dense needs fp32 scores of L x L for
    each head."""
    rows = []
    for kind in backends(device):
        errors: dict[str, float] | str | None = None
        if check:
            try:
                errors = layer_errors(kind, span, heads, device, dtype)
            except Exception as error:
                errors = said(error)
            free(device)
        right = max(errors.values()) <= LAYER_TOLERANCE[dtype] if isinstance(errors, dict) else None
        right = False if isinstance(errors, str) else right
        forward, both = layer_times(kind, span, heads, device, dtype, 5 * repeats)
        rows.append(Row(kind, len(span.completions), span.completions[0], errors, forward, both, right))
    return rows


def winner(rows: Sequence[Row]) -> str:
    """The fastest, forward and backward together, of those that were not found wrong."""
    able = [row for row in rows if row.both.error is None and row.right is not False]
    return min(able, key=lambda row: row.both.seconds).kind if able else "none"
