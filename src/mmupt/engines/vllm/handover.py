"""How weights get from the trainer to vLLM: tensor by tensor where vLLM computes in this process, through files where
tensor parallelism spreads it over several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmupt.models.weights import plain_weights

_SHARD_BYTES = 4 * 2**30
_NOTHING = "mmupt"


class Handover(Protocol):
    """The whole state, each time: a part of it would leave vLLM with a mixture."""

    def prepare(self, model: nn.Module) -> str:
        """Before vLLM starts; what to start it with as `load_format`."""
        ...

    def __call__(self, llm: Any, model: nn.Module) -> None: ...


class InProcess:
    """vLLM reads the trainer's tensors themselves."""

    def prepare(self, model: nn.Module) -> str:
        """vLLM starts with weights that are no numbers. What never arrives, packed for the processor or not, shows in
        the first log-prob. (Its own "dummy" weights look sound, and spoil the constants that pictures are standardised
        with.)"""
        from vllm.model_executor.model_loader import register_model_loader
        from vllm.model_executor.model_loader.base_loader import BaseModelLoader

        @register_model_loader(_NOTHING)
        class Nothing(BaseModelLoader):  # type: ignore[misc]
            def download_model(self, model_config: Any) -> None: ...

            @torch.no_grad()
            def load_weights(self, model: nn.Module, model_config: Any) -> None:
                for parameter in model.parameters():
                    parameter.fill_(torch.nan)

        return _NOTHING

    def __call__(self, llm: Any, model: nn.Module) -> None:
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": plain_weights(model)})


class ThroughFiles:
    """Each worker reads its part of safetensors files in `folder`, which stay while vLLM lives, and are in the
    precision that it computes in."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._folder, self._dtype = folder, dtype

    def prepare(self, model: nn.Module) -> str:
        self._write(model)
        return "safetensors"

    def __call__(self, llm: Any, model: nn.Module) -> None:
        self._write(model)
        llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._folder)})

    def _write(self, model: nn.Module) -> None:
        for number, shard in enumerate(_shards(plain_weights(model), self._dtype)):
            save_file(shard, self._folder / f"model-{number:05}.safetensors")


def _shards(weights: Iterator[tuple[str, Tensor]], dtype: torch.dtype) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, weight in weights:
        shard[name] = torch.empty(weight.shape, dtype=dtype).copy_(weight)  # tied weights may not share memory there
        size += shard[name].nbytes
        if size >= _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
    if shard:
        yield shard
