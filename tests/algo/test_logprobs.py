"""Chunked log-probs against log_softmax over everything at once, and the bound on what exists at a time."""

from __future__ import annotations

import math
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

    result = token_logprobs(hidden_TD, head, target_T, temperature=0.7, chunk=chunk, entropy=True, certainty=True)
    found = torch.autograd.grad((result.logprobs_T * weights_T).sum(), [hidden_TD, head.weight])
    torch.testing.assert_close(result.logprobs_T, expected_T, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert result.entropy_T is not None and not result.entropy_T.requires_grad
    torch.testing.assert_close(result.entropy_T, -(whole_TV.exp() * whole_TV).sum(-1).detach(), atol=1e-5, rtol=1e-5)
    assert result.certainty_T is not None and not result.certainty_T.requires_grad
    uniform_TV = torch.full_like(whole_TV, 1 / VOCABULARY)
    divergence_T = (uniform_TV * (uniform_TV.log() - whole_TV)).sum(-1).detach()
    torch.testing.assert_close(result.certainty_T, divergence_T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("measures", [{}, {"entropy": True}, {"certainty": True}, {"entropy": True, "certainty": True}])
def test_never_more_rows_of_logits_than_a_chunk_backward_pass_included(
    largest_tensor: Callable[[Callable[[], object]], int], measures: dict[str, bool]
) -> None:
    hidden_TD, head, target_T = problem()

    def forward_and_backward() -> None:
        token_logprobs(hidden_TD, head, target_T, chunk=8, **measures).logprobs_T.sum().backward()

    assert largest_tensor(forward_and_backward) == 8 * VOCABULARY


def test_what_is_not_asked_for_is_not_computed() -> None:
    hidden_TD, head, target_T = problem()
    nothing = token_logprobs(hidden_TD, head, target_T)
    assert nothing.entropy_T is None and nothing.certainty_T is None
    assert token_logprobs(hidden_TD, head, target_T, entropy=True).certainty_T is None
    assert token_logprobs(hidden_TD, head, target_T, certainty=True).entropy_T is None


def test_self_certainty_by_hand() -> None:
    """p = (3/4, 1/4): -(log 3/2 + log 1/2) / 2. A uniform p is not certain of anything."""
    head = nn.Identity()
    logits_TV = torch.tensor([[math.log(3), 0.0], [5.0, 5.0]])
    certainty_T = token_logprobs(logits_TV, head, torch.tensor([0, 1]), certainty=True).certainty_T
    assert certainty_T is not None
    assert certainty_T.tolist() == pytest.approx([-(math.log(1.5) + math.log(0.5)) / 2, 0.0])


def test_self_certainty_is_never_below_zero() -> None:
    """Where logits are large and all but equal, float error must not show through."""
    logits_TV = 80.0 + 1e-3 * torch.randn(20, 5000, generator=torch.Generator().manual_seed(0))
    certainty_T = token_logprobs(
        logits_TV, nn.Identity(), torch.zeros(20, dtype=torch.long), certainty=True
    ).certainty_T
    assert certainty_T is not None and bool((certainty_T > -1e-4).all())
