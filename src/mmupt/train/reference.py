"""The policy the KL term holds on to: the model as the stage found it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_off
from mmupt.types import PackedBatch


@dataclass(frozen=True, slots=True)
class Reference:
    """`frozen` is a second copy of the weights; under LoRA it is None and the adapter is switched off instead."""

    loaded: LoadedModel
    frozen: nn.Module | None

    def logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int) -> Tensor:
        """f32[T], without gradient."""
        if self.frozen is not None:
            return no_grad_logprobs(self.loaded, batch, temperature=temperature, chunk=chunk, model=self.frozen)
        with adapter_off(self.loaded.model):
            return no_grad_logprobs(self.loaded, batch, temperature=temperature, chunk=chunk)
