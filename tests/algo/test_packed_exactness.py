"""Packed groups against the slow, obvious reference: every rollout forwarded alone, prompt, picture and all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmupt.algo.packing import PackItem, pack
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel

TEMPERATURE = 0.7


def naive_logprobs(tiny: LoadedModel, items: list[PackItem]) -> Tensor:
    """transformers' own forward, one rollout at a time, its own positions and its own causal mask."""
    logprobs = []
    for item in items:
        prompt = item.encoded
        for completion in item.completions:
            ids = torch.cat([prompt.token_ids, torch.tensor(completion)])[None]
            types = (ids == tiny.family.image_id).int()  # type: ignore[attr-defined]
            output = tiny.model(input_ids=ids, mm_token_type_ids=types, use_cache=False, **prompt.vision)
            logits = output.logits[0, prompt.length - 1 : -1] / TEMPERATURE
            logprobs.append(logits.log_softmax(-1).gather(-1, ids[0, prompt.length :, None])[:, 0])
    return torch.cat(logprobs)


def gradients(tiny: LoadedModel) -> dict[str, Tensor]:
    grads = {n: p.grad.clone() for n, p in tiny.model.named_parameters() if p.grad is not None}
    tiny.model.zero_grad()
    return grads


def relative_error(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    difference = sum((ours[n] - theirs[n]).square().sum() for n in ours)
    return float((difference / sum(g.square().sum() for g in theirs.values())).sqrt())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("row_tokens", [0, 400])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_packed_equals_repeated(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]], seed: int, row_tokens: int, checkpointing: bool
) -> None:
    items = random_items(seed)
    expected = naive_logprobs(tiny, items)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    (expected * weights).sum().backward()
    reference = gradients(tiny)

    if checkpointing:
        tiny.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        tiny.model.train()
    batch = pack(items, tiny.family.merge_vision, row_tokens=row_tokens)
    packed = policy_logprobs(tiny, batch, temperature=TEMPERATURE, chunk=7).logprobs_T
    (packed * weights).sum().backward()

    assert (packed - expected).abs().max() < 1e-5
    assert relative_error(gradients(tiny), reference) < 1e-5


def test_gradient_checkpointing_really_runs(tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]) -> None:
    """The case above would pass in vain if checkpointing were silently off."""
    tiny.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    tiny.model.train()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    tiny.model.model.language_model.layers[0].self_attn.register_forward_hook(count)  # type: ignore[union-attr, index]
    batch = pack(random_items(0), tiny.family.merge_vision)
    policy_logprobs(tiny, batch).logprobs_T.sum().backward()
    assert calls == 2, "a checkpointed layer runs once forward and once again in the backward pass"


def test_row_packing_changes_layout_but_not_tokens(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    items = random_items(3)
    alone, together = (pack(items, tiny.family.merge_vision, row_tokens=n) for n in (0, 10_000))
    assert alone.input_ids_BL.shape[0] == 3 and together.input_ids_BL.shape[0] == 1
    assert torch.equal(alone.target_T, together.target_T) and torch.equal(alone.rollout_T, together.rollout_T)


def test_entropy_is_that_of_the_scaled_distribution(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    item = random_items(4)[1]
    batch = pack([item], tiny.family.merge_vision)
    entropy = policy_logprobs(tiny, batch, temperature=TEMPERATURE, chunk=3).entropy_T
    prompt, completion = item.encoded, item.completions[0]
    ids = torch.cat([prompt.token_ids, torch.tensor(completion)])[None]
    types = (ids == tiny.family.image_id).int()  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = tiny.model(input_ids=ids, mm_token_type_ids=types, **prompt.vision).logits[0, prompt.length - 1 : -1]
    expected = torch.distributions.Categorical(logits=logits / TEMPERATURE).entropy()
    torch.testing.assert_close(entropy[: len(completion)], expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_forwards_leave_weights_and_log_probs_in_fp32(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    batch = pack(random_items(5), tiny.family.merge_vision)
    exact = policy_logprobs(tiny, batch).logprobs_T
    mixed = policy_logprobs(replace(tiny, dtype=torch.bfloat16), batch).logprobs_T
    mixed.sum().backward()
    assert mixed.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in tiny.model.parameters() if p.grad is not None)
    error = (mixed - exact).abs().max()
    assert 0 < error < 0.1, "bf16 is rounder than fp32, and no more than that"
