"""What vLLM, or a server, is given a model from: the trainer's in this process, or one whose weights arrive from
elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmupt.models.families.base import Family
from mmupt.models.loading import LoadedModel
from mmupt.models.weights import plain_shapes


@dataclass(frozen=True, slots=True)
class Source:
    """A model as it is handed over. `dtype` is what a forward of the trainer's computes in; `weights` goes through the
    whole state, tensor by tensor, under the names that it has in memory and with the `shapes` that stand there under
    these names, each time it is called; of sharded weights in all processes at the same time."""

    family: Family
    config: Any
    device: torch.device
    dtype: torch.dtype
    shapes: Mapping[str, list[int]]
    weights: Callable[[], Iterator[tuple[str, Tensor]]]

    @classmethod
    def of(cls, loaded: LoadedModel) -> Source:
        model: Any = loaded.model
        return cls(
            loaded.family,
            model.config,
            loaded.device,
            loaded.dtype,
            plain_shapes(model),
            loaded.weights,
        )

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """The weights under the names by which vLLM knows them."""
        return ((self.family.vllm_name(name), weight) for name, weight in self.weights())
