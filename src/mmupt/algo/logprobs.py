"""Log-probs of completion tokens from hidden states, in chunks, so that [tokens, vocabulary] never exists at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """logprobs_T f32[T] under the temperature-scaled policy p. Of the same distribution, in nats, without gradient,
    where asked for: entropy_T f32[T], and the self-certainty certainty_T f32[T] = KL(uniform, p) = -1/V sum log(V p)
    (arXiv 2502.18581), which is 0 where every token is as likely and has no upper end."""

    logprobs_T: Tensor
    entropy_T: Tensor | None = None
    certainty_T: Tensor | None = None


def token_logprobs(
    hidden_TD: Tensor,
    head: nn.Module,
    target_T: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int = 1024,
    entropy: bool = False,
    certainty: bool = False,
) -> TokenLogprobs:
    """log softmax(head(hidden) / temperature) at the targets, fp32. At no time do more than `chunk` rows of logits
    exist, backward pass included, where a chunk's logits are computed again instead of being kept."""

    def one_chunk(hidden_CD: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        logits_CV = head(hidden_CD).float() / temperature
        normaliser_C = logits_CV.logsumexp(-1)
        logprobs_C = logits_CV.gather(-1, target_C[:, None])[:, 0] - normaliser_C
        scaled = logits_CV.detach(), normaliser_C.detach()
        return logprobs_C, _entropy(*scaled) if entropy else None, _certainty(*scaled) if certainty else None

    keep_graph = torch.is_grad_enabled() and (
        hidden_TD.requires_grad or any(p.requires_grad for p in head.parameters())
    )
    logprobs: list[Tensor] = []
    entropies: list[Tensor] = []
    certainties: list[Tensor] = []
    for start in range(0, target_T.shape[0], chunk):
        arguments = hidden_TD[start : start + chunk], target_T[start : start + chunk]
        if keep_graph and target_T.shape[0] > chunk:
            logprobs_C, entropy_C, certainty_C = checkpoint(one_chunk, *arguments, use_reentrant=False)
        else:  # a single chunk is within the bound already
            logprobs_C, entropy_C, certainty_C = one_chunk(*arguments)
        logprobs.append(logprobs_C)
        if entropy_C is not None:
            entropies.append(entropy_C)
        if certainty_C is not None:
            certainties.append(certainty_C)
    return TokenLogprobs(
        torch.cat(logprobs),
        torch.cat(entropies) if entropies else None,
        torch.cat(certainties) if certainties else None,
    )


def _entropy(logits_CV: Tensor, normaliser_C: Tensor) -> Tensor:
    """-sum p log p over the scaled logits."""
    logprobs_CV = logits_CV - normaliser_C[:, None]
    return logprobs_CV.exp().mul_(logprobs_CV).sum(-1).neg_()


def _certainty(logits_CV: Tensor, normaliser_C: Tensor) -> Tensor:
    """-1/V sum log(V p) over the scaled logits: log p is their difference from the normaliser, so no log p is made."""
    return normaliser_C - logits_CV.mean(-1) - math.log(logits_CV.shape[-1])
