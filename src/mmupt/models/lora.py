"""Low-rank adapters (arXiv 2106.09685) through peft. A stage trains a fresh adapter and folds it into the weights at
its end, so that every checkpoint a stage hands on is an ordinary model, and the reference policy of a stage is its own
start with the adapter switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmupt.errors import ConfigError
from mmupt.models.loading import LoadedModel
from mmupt.models.settings import LoraSettings


def attach_adapter(loaded: LoadedModel, settings: LoraSettings, seed: int) -> LoadedModel:
    """The model with a new adapter, which alone is trained; it computes the same until the first step (B is zero).
    Where weights are sharded the adapter's are too, and it is collective."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets))

    def wrap(model: nn.Module) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                wrapped: nn.Module = get_peft_model(model, config)
                return wrapped
            except ValueError as error:
                raise ConfigError(
                    f"model.lora.targets = {list(settings.targets)} fits no module of the model: {error}"
                ) from error

    if loaded.shards is not None:
        return loaded.shards.rewrapped(wrap)
    wrapped = wrap(loaded.model)
    wrapped.to(loaded.device)
    wrapped.train(loaded.model.training)
    return _changed(loaded, wrapped)


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """The plain model with the adapter added to its weights; collective where they are sharded."""
    if loaded.shards is None:
        return merged(loaded, loaded.model)
    loaded.shards.fill(loaded.shards.weights())
    return loaded.shards.rewrapped(lambda model: model.unload())  # type: ignore[operator]


def merged(loaded: LoadedModel, wrapped: nn.Module) -> LoadedModel:
    """The same with `wrapped`, an adapter around the model of `loaded`."""
    return _changed(loaded, wrapped.merge_and_unload())  # type: ignore[operator]


def _changed(loaded: LoadedModel, model: nn.Module) -> LoadedModel:
    """With `model` in its place, and nothing kept of what the vision tower said before: it may be another one now."""
    return replace(loaded, model=model, pictures=replace(loaded.pictures))


def has_adapter(model: nn.Module) -> bool:
    return hasattr(model, "disable_adapter")


def adapter_is_on(model: nn.Module) -> bool:
    """Whether the model has an adapter that its forward uses."""
    return any(not layer.disable_adapters for layer in _adapted_layers(model))


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model computes what it did when the stage began."""
    with model.disable_adapter():  # type: ignore[operator]
        yield


def read_adapter(loaded: LoadedModel, folder: Path) -> None:
    """Puts an adapter that was saved into `folder` into the model's own."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(loaded.model, load_file(folder / "adapter_model.safetensors"))


@contextmanager
def adapter_silent(model: nn.Module) -> Iterator[None]:
    """The same for sharded weights: what is trained and what is not stays as it is, because FSDP2 looks at it but
    once."""
    layers = _adapted_layers(model)
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


def _adapted_layers(model: nn.Module) -> list[Any]:
    if not has_adapter(model):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
