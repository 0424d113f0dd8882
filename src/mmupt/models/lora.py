"""Low-rank adapters (arXiv 2106.09685) through peft. A stage trains a fresh adapter and folds it into the weights at
its end, so that every checkpoint a stage hands on is an ordinary model, and the reference policy of a stage is its own
start with the adapter switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from mmupt.errors import ConfigError
from mmupt.models.loading import LoadedModel
from mmupt.models.settings import LoraSettings


def attach_adapter(loaded: LoadedModel, settings: LoraSettings, seed: int) -> LoadedModel:
    """The model with a new adapter, which alone is trained; it computes the same until the first step (B is zero)."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(loaded.model, config)
        except ValueError as error:
            raise ConfigError(
                f"model.lora.targets = {list(settings.targets)} fits no module of the model: {error}"
            ) from error
    wrapped.to(loaded.device)
    wrapped.train(loaded.model.training)
    return _changed(loaded, wrapped)


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """The plain model with the adapter added to its weights."""
    return merged(loaded, loaded.model)


def merged(loaded: LoadedModel, wrapped: nn.Module) -> LoadedModel:
    """The same with `wrapped`, an adapter around the model of `loaded`."""
    return _changed(loaded, wrapped.merge_and_unload())  # type: ignore[operator]


def _changed(loaded: LoadedModel, model: nn.Module) -> LoadedModel:
    """With `model` in its place, and nothing kept of what the vision tower said before: it may be another one now."""
    return replace(loaded, model=model, pictures=replace(loaded.pictures))


def has_adapter(model: nn.Module) -> bool:
    return hasattr(model, "disable_adapter")


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model computes what it did when the stage began."""
    with model.disable_adapter():  # type: ignore[operator]
        yield
