"""Log-probs of completion tokens from hidden states, in chunks, so that [tokens, vocabulary] never exists at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """logprobs_T f32[T] under the temperature-scaled policy; entropy_T f32[T] of the same distribution, in nats,
    without gradient."""

    logprobs_T: Tensor
    entropy_T: Tensor


def token_logprobs(
    hidden_TD: Tensor, head: nn.Module, target_T: Tensor, *, temperature: float = 1.0, chunk: int = 4096
) -> TokenLogprobs:
    """log softmax(head(hidden) / temperature) at the targets, fp32. With gradients on, a chunk's logits are computed
    again in the backward pass instead of being kept."""

    def one_chunk(hidden_CD: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = head(hidden_CD).float() / temperature
        normaliser_C = logits_CV.logsumexp(-1)
        logprobs_C = logits_CV.gather(-1, target_C[:, None])[:, 0] - normaliser_C
        with torch.no_grad():
            entropy_C = normaliser_C - ((logits_CV - normaliser_C[:, None]).exp() * logits_CV).sum(-1)
        return logprobs_C, entropy_C

    keep_graph = torch.is_grad_enabled() and (
        hidden_TD.requires_grad or any(p.requires_grad for p in head.parameters())
    )
    pieces = []
    for start in range(0, target_T.shape[0], chunk):
        arguments = hidden_TD[start : start + chunk], target_T[start : start + chunk]
        if keep_graph and target_T.shape[0] > chunk:
            pieces.append(checkpoint(one_chunk, *arguments, use_reentrant=False))
        else:  # a single chunk is within the bound already
            pieces.append(one_chunk(*arguments))
    return TokenLogprobs(torch.cat([p[0] for p in pieces]), torch.cat([p[1] for p in pieces]))
