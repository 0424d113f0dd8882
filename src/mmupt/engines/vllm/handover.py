"""How weights get to vLLM: tensor by tensor where it computes in this process, through files where tensor parallelism
spreads it over several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from mmupt.models.weights import write_shards

_NOTHING = "mmupt"

Weights = Callable[[], Iterator[tuple[str, Tensor]]]


class Handover(Protocol):
    """The whole state, each time: a part of it would leave vLLM with a mixture."""

    at_start: ClassVar[bool]
    """Whether vLLM starts with the weights that `prepare` was given."""

    def prepare(self, weights: Weights) -> str:
        """Before vLLM starts; what to start it with as `load_format`."""
        ...

    def __call__(self, llm: Any, weights: Weights) -> None: ...


class InProcess:
    """vLLM reads the tensors themselves."""

    at_start: ClassVar[bool] = False

    def prepare(self, weights: Weights) -> str:
        """vLLM starts with weights that are no numbers. What never arrives, packed for the processor or not, shows in
        the first log-prob. (Its own "dummy" weights look sound, and spoil the constants that pictures are standardised
        with.)"""
        from vllm.model_executor.model_loader import register_model_loader
        from vllm.model_executor.model_loader.base_loader import BaseModelLoader

        @register_model_loader(_NOTHING)
        class Nothing(BaseModelLoader):  # type: ignore[misc]
            def download_model(self, model_config: Any) -> None: ...

            @torch.no_grad()
            def load_weights(self, model: torch.nn.Module, model_config: Any) -> None:
                for parameter in model.parameters():
                    parameter.fill_(torch.nan)

        return _NOTHING

    def __call__(self, llm: Any, weights: Weights) -> None:
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights()})


class ThroughFiles:
    """Each worker reads its part of safetensors files in `folder`, which stay while vLLM lives, and are in the
    precision that it computes in."""

    at_start: ClassVar[bool] = True

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._folder, self._dtype = folder, dtype

    def prepare(self, weights: Weights) -> str:
        write_shards(weights(), self._folder, self._dtype)
        return "safetensors"

    def __call__(self, llm: Any, weights: Weights) -> None:
        write_shards(weights(), self._folder, self._dtype)
        llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._folder)})
