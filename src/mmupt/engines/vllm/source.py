"""What vLLM is given a model from: the trainer's in this process, or one whose weights arrive from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmupt.models.families.base import Family
from mmupt.models.loading import LoadedModel
from mmupt.models.weights import plain_weights


@dataclass(frozen=True, slots=True)
class Source:
    """A model as vLLM needs it. `dtype` is what a forward of the trainer's computes in; `weights` goes through the
    whole state, under the names that it has in memory, each time it is called."""

    family: Family
    config: Any
    device: torch.device
    dtype: torch.dtype
    weights: Callable[[], Iterator[tuple[str, Tensor]]]

    @classmethod
    def of(cls, loaded: LoadedModel) -> Source:
        model: Any = loaded.model
        return cls(loaded.family, model.config, loaded.device, loaded.dtype, lambda: plain_weights(model))

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """The weights under the names by which vLLM knows them."""
        return ((self.family.vllm_name(name), weight) for name, weight in self.weights())
