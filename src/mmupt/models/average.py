"""An exponential moving average of the weights that are trained: a teacher that follows slowly (arXiv 1703.01780)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmupt.models.loading import LoadedModel


class MovingAverage:
    """theta' <- decay theta' + (1 - decay) theta, in fp32, over the parameters that have gradients; all others are the
    policy's own. So under LoRA it is one adapter's worth of memory, else one copy of what is trained."""

    def __init__(self, loaded: LoadedModel, decay: float) -> None:
        self._loaded = loaded
        self._decay = decay
        self._average = {name: p.detach().clone() for name, p in self._trained().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Once, after the policy has moved."""
        for name, parameter in self._trained().items():
            _own(self._average[name]).lerp_(_own(parameter), 1.0 - self._decay)

    @contextmanager
    def active(self) -> Iterator[LoadedModel]:
        """Inside, the model computes with the averaged weights. They are exchanged, one after another."""
        self._exchange()
        try:
            yield self._loaded
        finally:
            self._exchange()

    def tensors(self) -> dict[str, Tensor]:
        """Whole; where they are sharded, in the first process, and nothing in the others. Collective there."""
        shards = self._loaded.shards
        return dict(self._average) if shards is None else shards.collect(self._average)

    @torch.no_grad()
    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        shards = self._loaded.shards
        for name, average in self._average.items():
            whole = tensors[name]
            _own(average).copy_(whole if shards is None else _own(shards.cut(whole, like=average)))

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._trained().items():
            now, average = _own(parameter), _own(self._average[name])
            kept = now.clone()
            now.copy_(average)
            average.copy_(kept)

    def _trained(self) -> Mapping[str, Tensor]:
        if self._loaded.shards is not None:
            return self._loaded.shards.trained
        return {name: p for name, p in self._loaded.model.named_parameters() if p.requires_grad}


def _own(tensor: Tensor) -> Tensor:
    """What this process has of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach()
