"""From a checkpoint of any kind to a Hugging Face folder with whole weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmupt.errors import ModelError
from mmupt.export.source import ModelBehind
from mmupt.models.loading import load_model, save_model
from mmupt.models.lora import merged
from mmupt.models.settings import ModelSettings

_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def whole_folder(behind: ModelBehind, scratch: Path) -> Path:
    """A folder with whole weights: the checkpoint itself, or what is put together from it in `scratch`, which must not
    exist. An adapter is added to its base in fp32, as the end of a stage does it."""
    if behind.base is None:
        return behind.folder
    settings = ModelSettings(path=behind.base, revision=behind.revision)
    try:
        base = load_model(behind.base, settings, torch.device("cpu"))
    except ModelError as error:
        raise ModelError(
            f"{error}. {behind.folder} is an adapter to it; --base names the folder it has moved to"
        ) from error
    save_model(merged(base, _with_adapter(base.model, behind)), scratch)
    return scratch


def _with_adapter(model: Any, behind: ModelBehind) -> Any:
    """peft's wrapper around `model`, all of the adapter's tensors in it and no other."""
    from peft import PeftModel, get_peft_model_state_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is missing, which is looked at below
            wrapped = PeftModel.from_pretrained(model, str(behind.folder))
    except (ValueError, RuntimeError) as error:
        raise _foreign(behind, str(error).strip().splitlines()[0]) from error
    mine: dict[str, Tensor] = get_peft_model_state_dict(wrapped)
    its = load_file(behind.folder / _ADAPTER_WEIGHTS)
    if mine.keys() != its.keys() or any(not torch.equal(mine[name], its[name]) for name in its):
        raise _foreign(behind, "other modules")
    return wrapped


def _foreign(behind: ModelBehind, why: str) -> ModelError:
    return ModelError(
        f"{behind.folder}: its adapter does not fit {behind.base} ({why}); name the model that the stage began with "
        "with --base"
    )
