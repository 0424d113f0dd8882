"""The one way through the model: log-probs of a packed batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmupt.algo.logprobs import TokenLogprobs, token_logprobs
from mmupt.algo.packing import block_mask
from mmupt.models.loading import LoadedModel
from mmupt.types import PackedBatch


def policy_logprobs(
    loaded: LoadedModel,
    batch: PackedBatch,
    *,
    temperature: float = 1.0,
    chunk: int = 4096,
    model: nn.Module | None = None,
) -> TokenLogprobs:
    """Log-probs f32[T] of the completion tokens of `batch`, with gradient where it is enabled.

    `model` stands in for `loaded.model` (the reference policy: another module of the same family).
    """
    model = loaded.model if model is None else model
    device = loaded.device
    mask = block_mask(batch.group_BL.to(device), batch.completion_BL.to(device))
    vision = {key: value.to(device) for key, value in batch.vision.items()}
    with loaded.autocast():
        hidden_BLD = loaded.family.hidden(
            model, batch.input_ids_BL.to(device), batch.positions_3BL.to(device), mask, vision
        )
        hidden_TD = hidden_BLD.flatten(0, 1)[batch.predictor_T.to(device)]
        return token_logprobs(
            hidden_TD,
            loaded.family.head(model),
            batch.target_T.to(device),
            temperature=temperature,
            chunk=chunk,
        )


def no_grad_logprobs(
    loaded: LoadedModel, batch: PackedBatch, *, temperature: float, chunk: int, model: nn.Module | None = None
) -> Tensor:
    """The same without gradient, on the CPU: old and reference log-probs, f32[T]."""
    with torch.no_grad():
        return policy_logprobs(loaded, batch, temperature=temperature, chunk=chunk, model=model).logprobs_T.cpu()
