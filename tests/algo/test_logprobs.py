"""Chunked log-probs against log_softmax over everything at once, and the bound on what exists at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.logprobs import token_logprobs

TOKENS, HIDDEN, VOCABULARY = 50, 6, 700


def problem() -> tuple[Tensor, nn.Linear, Tensor]:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False)
    head.weight.data = torch.randn(VOCABULARY, HIDDEN, generator=generator)
    hidden_TD = torch.randn(TOKENS, HIDDEN, generator=generator).requires_grad_()
    return hidden_TD, head, torch.randint(VOCABULARY, (TOKENS,), generator=generator)


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_values_and_gradients_are_those_of_one_softmax(chunk: int) -> None:
    hidden_TD, head, target_T = problem()
    weights_T = torch.randn(TOKENS, generator=torch.Generator().manual_seed(1))
    whole_TV = (head(hidden_TD) / 0.7).log_softmax(-1)
    expected_T = whole_TV.gather(-1, target_T[:, None])[:, 0]
    expected = torch.autograd.grad((expected_T * weights_T).sum(), [hidden_TD, head.weight])

    result = token_logprobs(hidden_TD, head, target_T, temperature=0.7, chunk=chunk, entropy=True)
    found = torch.autograd.grad((result.logprobs_T * weights_T).sum(), [hidden_TD, head.weight])
    torch.testing.assert_close(result.logprobs_T, expected_T, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert result.entropy_T is not None and not result.entropy_T.requires_grad
    torch.testing.assert_close(result.entropy_T, -(whole_TV.exp() * whole_TV).sum(-1).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("entropy", [False, True])
def test_never_more_rows_of_logits_than_a_chunk_backward_pass_included(
    largest_tensor: Callable[[Callable[[], object]], int], entropy: bool
) -> None:
    hidden_TD, head, target_T = problem()

    def forward_and_backward() -> None:
        token_logprobs(hidden_TD, head, target_T, chunk=8, entropy=entropy).logprobs_T.sum().backward()

    assert largest_tensor(forward_and_backward) == 8 * VOCABULARY


def test_entropy_is_computed_where_it_is_asked_for() -> None:
    hidden_TD, head, target_T = problem()
    assert token_logprobs(hidden_TD, head, target_T).entropy_T is None
