"""Packed groups against the slow, obvious reference: every rollout forwarded alone, prompt, picture and all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.packing import PackItem, pack
from mmupt.algo.settings import AttentionKind
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel

TEMPERATURE = 0.7


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def relative_error(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    difference = sum((ours[n] - theirs[n]).square().sum() for n in ours)
    return float((difference / sum(g.square().sum() for g in theirs.values())).sqrt())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["split", "dense"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_packed_equals_repeated(
    tiny: LoadedModel,
    plain: Any,
    random_items: Callable[[int], list[PackItem]],
    seed: int,
    kind: AttentionKind,
    checkpointing: bool,
) -> None:
    items = random_items(seed)
    expected = plain.logprobs(items, TEMPERATURE)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    (expected * weights).sum().backward()

    if checkpointing:
        tiny.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        tiny.model.train()
    packed = policy_logprobs(replace(tiny, attention=kind), pack(items), temperature=TEMPERATURE, chunk=7).logprobs_T
    (packed * weights).sum().backward()

    assert (packed - expected).abs().max() < 1e-5
    assert relative_error(gradients(tiny.model), gradients(plain.model)) < 1e-5


def test_the_block_mask_of_flex_attention_is_the_same(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    """Forward only: PyTorch has no backward pass of FlexAttention on a CPU."""
    batch = pack(random_items(0))
    with torch.no_grad():
        packed = policy_logprobs(replace(tiny, attention="flex"), batch).logprobs_T
        expected = policy_logprobs(replace(tiny, attention="dense"), batch).logprobs_T
    assert (packed - expected).abs().max() < 1e-5


def test_gradient_checkpointing_really_runs(tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]) -> None:
    """The case above would pass in vain if checkpointing were silently off."""
    tiny.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    tiny.model.train()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    tiny.model.model.language_model.layers[0].self_attn.register_forward_hook(count)  # type: ignore[union-attr, index]
    batch = pack(random_items(0))
    policy_logprobs(tiny, batch).logprobs_T.sum().backward()
    assert calls == 2, "a checkpointed layer runs once forward and once again in the backward pass"


def test_entropy_is_that_of_the_scaled_distribution(
    tiny: LoadedModel, plain: Any, random_items: Callable[[int], list[PackItem]]
) -> None:
    item = random_items(4)[1]
    entropy = policy_logprobs(tiny, pack([item]), temperature=TEMPERATURE, chunk=3, entropy=True).entropy_T
    assert entropy is not None
    with torch.no_grad():
        logits = torch.cat([plain.logits(item.encoded, completion) for completion in item.completions])
    expected = torch.distributions.Categorical(logits=logits / TEMPERATURE).entropy()
    torch.testing.assert_close(entropy, expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_forwards_leave_weights_and_log_probs_in_fp32(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    batch = pack(random_items(5))
    exact = policy_logprobs(tiny, batch).logprobs_T
    mixed = policy_logprobs(replace(tiny, dtype=torch.bfloat16), batch).logprobs_T
    mixed.sum().backward()
    assert mixed.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in tiny.model.parameters() if p.grad is not None)
    error = (mixed - exact).abs().max()
    assert 0 < error < 0.1, "bf16 is rounder than fp32, and no more than that"
