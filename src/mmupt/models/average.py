"""An exponential moving average of the weights that are trained: a teacher that follows slowly (arXiv 1703.01780)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mmupt.models.loading import LoadedModel


class MovingAverage:
    """theta' <- decay theta' + (1 - decay) theta, in fp32, over the parameters that have gradients; all others are the
    policy's own. So under LoRA it is one adapter's worth of memory, else one copy of what is trained."""

    def __init__(self, loaded: LoadedModel, decay: float) -> None:
        self._loaded = loaded
        self._decay = decay
        self._average = {name: p.detach().clone() for name, p in self._trained()}

    @torch.no_grad()
    def update(self) -> None:
        """Once, after the policy has moved."""
        for name, parameter in self._trained():
            self._average[name].lerp_(parameter, 1.0 - self._decay)

    @contextmanager
    def active(self) -> Iterator[LoadedModel]:
        """Inside, the model computes with the averaged weights. They are exchanged, not copied."""
        self._exchange()
        try:
            yield self._loaded
        finally:
            self._exchange()

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._average)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        for name, average in self._average.items():
            average.copy_(tensors[name])

    def _exchange(self) -> None:
        for name, parameter in self._trained():
            parameter.data, self._average[name] = self._average[name], parameter.data

    def _trained(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, p) for name, p in self._loaded.model.named_parameters() if p.requires_grad]
