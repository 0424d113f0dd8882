"""The one way through the model: log-probs of a packed row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmupt.algo.logprobs import TokenLogprobs, token_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import PackedBatch


def policy_logprobs(
    loaded: LoadedModel,
    batch: PackedBatch,
    *,
    temperature: float = 1.0,
    chunk: int = 1024,
    entropy: bool = False,
    certainty: bool = False,
    model: nn.Module | None = None,
) -> TokenLogprobs:
    """Log-probs f32[T] of the completion tokens of `batch`, with gradient where it is enabled; entropy and
    self-certainty where they are asked for.

    `model` stands in for `loaded.model` (the reference policy: another module of the same family).
    """
    model = loaded.model if model is None else model
    device = loaded.device
    with loaded.autocast():
        hidden_LD = loaded.family.hidden(
            model,
            batch.input_ids_L.to(device),
            batch.positions_3L.to(device),
            loaded.attend(batch.spans),
            loaded.pictures(model, batch.pictures),
        )
        return token_logprobs(
            hidden_LD[batch.predictor_T.to(device)],
            loaded.family.head(model),
            batch.target_T.to(device),
            temperature=temperature,
            chunk=chunk,
            entropy=entropy,
            certainty=certainty,
        )


def no_grad_logprobs(
    loaded: LoadedModel, batch: PackedBatch, *, temperature: float, chunk: int, model: nn.Module | None = None
) -> Tensor:
    """The same without gradient: old and reference log-probs, f32[T]."""
    with torch.no_grad():
        return policy_logprobs(loaded, batch, temperature=temperature, chunk=chunk, model=model).logprobs_T
