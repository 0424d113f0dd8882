"""The weights of a model under the names that transformers gives them, whatever is wrapped around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmupt.models.lora import has_adapter


def plain_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter with its name, one after another, on its device and without gradient. Low-rank adapters are added
    to the weights that they sit on, as the forward does it, unless they are switched off; the model stays as it is, and
    no more than one sum exists at a time. Tied weights appear under each of their names: vLLM packs a tied head by
    itself, and would keep the old one."""
    if not has_adapter(model):
        for name, parameter in model.named_parameters(remove_duplicate=False):
            yield name, parameter.detach()
        return
    base: nn.Module = model.get_base_model()  # type: ignore[operator]
    for name, parameter in base.named_parameters(remove_duplicate=False):
        if ".lora_" in name:
            continue
        if ".base_layer." in name:
            path, own = name.split(".base_layer.")
            yield f"{path}.{own}", _adapted(base.get_submodule(path), own, parameter)
        else:
            yield name, parameter.detach()


@torch.no_grad()
def _adapted(layer: Any, own: str, parameter: Tensor) -> Tensor:
    weight = parameter.detach()
    if own != "weight" or layer.disable_adapters or layer.merged:
        return weight
    for adapter in layer.active_adapters:
        weight = weight + layer.get_delta_weight(adapter)
    return weight
