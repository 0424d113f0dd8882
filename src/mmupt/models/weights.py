"""The weights of a model under the names that transformers gives them, whatever is wrapped around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmupt.models.lora import has_adapter

_SHARD_BYTES = 4 * 2**30


def _there(parameter: Tensor) -> Tensor:
    assert not parameter.is_meta, "the model is sharded: LoadedModel.weights gathers what it has not"
    return parameter.detach()


def plain_weights(model: nn.Module, whole: Callable[[Tensor], Tensor] = _there) -> Iterator[tuple[str, Tensor]]:
    """Every parameter with its name, one after another, on its device and without gradient. Low-rank adapters are added
    to the weights that they sit on, as the forward does it, unless they are switched off; the model stays as it is, and
    no more than one sum exists at a time. Tied weights appear under each of their names: vLLM packs a tied head by
    itself, and would keep the old one. `whole` gives a parameter's weights where it does not hold them itself."""
    for name, layer, parameter in _plain(model):
        weight = whole(parameter)
        yield name, weight if layer is None else _adapted(layer, weight)


def plain_name(name: str) -> str:
    """What `plain_weights` calls a parameter of a model with an adapter or without. An adapter's own have no such name,
    and keep theirs."""
    return name if ".lora_" in name else name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def plain_shapes(model: nn.Module) -> dict[str, list[int]]:
    """The shapes of the same under the same names; nothing is computed."""
    return {name: list(parameter.shape) for name, _, parameter in _plain(model)}


def write_shards(weights: Iterator[tuple[str, Tensor]], folder: Path, dtype: torch.dtype) -> list[Path]:
    """Weights in the precision `dtype` as safetensors files in `folder`, in the order in which they came."""
    files = []
    for number, shard in enumerate(_shards(weights, dtype)):
        files.append(folder / f"model-{number:05}.safetensors")
        save_file(shard, files[-1])
    return files


def read_shards(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """What `write_shards` has written, tensor by tensor, on the CPU."""
    for path in sorted(folder.glob("model-*.safetensors")):
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                yield name, file.get_tensor(name)


def _plain(model: nn.Module) -> Iterator[tuple[str, nn.Module | None, Tensor]]:
    """Name, parameter, and the adapted layer that the parameter is the weight of."""
    if not has_adapter(model):
        for name, parameter in model.named_parameters(remove_duplicate=False):
            yield name, None, parameter
        return
    base: nn.Module = model.get_base_model()  # type: ignore[operator]
    for name, parameter in base.named_parameters(remove_duplicate=False):
        if ".lora_" in name:
            continue
        if ".base_layer." in name:
            path, own = name.split(".base_layer.")
            yield f"{path}.{own}", base.get_submodule(path) if own == "weight" else None, parameter
        else:
            yield name, None, parameter


@torch.no_grad()
def _adapted(layer: Any, weight: Tensor) -> Tensor:
    if layer.disable_adapters or layer.merged:
        return weight
    for adapter in layer.active_adapters:
        weight = weight + layer.get_delta_weight(adapter)
    return weight


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
