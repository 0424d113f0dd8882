"""Loading and saving a model with its family, the same way for a hub id and for a folder of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from mmupt.algo.attention import CAUSAL_ONLY, Attention, cannot, packed_attention
from mmupt.algo.settings import AttentionKind
from mmupt.errors import ModelError
from mmupt.models.attention import PACKED
from mmupt.models.families import FAMILIES, unknown
from mmupt.models.families.base import Family
from mmupt.models.pictures import PictureFeatures
from mmupt.models.settings import ModelSettings
from mmupt.runtime.device import autocast
from mmupt.types import GroupSpan

if TYPE_CHECKING:
    from mmupt.models.shards import Shards

_FINGERPRINT = "mmupt_tokenizer"
"""The key of config.json that says with which tokenizer a model was saved."""


transformers_logging.disable_progress_bar()  # a bar a shard, into the middle of a run's own lines


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, its family and where it runs. Weights are fp32 (AdamW's steps at lr 1e-6 vanish in bf16 weights);
    `dtype` is what a forward computes in.

    Where the weights are spread over processes they lie in `shards`, and `model` has none (its parameters are on the
    meta device) but inside `whole`. Without shards the contexts below do nothing. They are collective."""

    model: nn.Module
    family: Family
    device: torch.device
    dtype: torch.dtype
    attention: AttentionKind
    pictures: PictureFeatures
    shards: Shards | None = None

    def whole(self) -> AbstractContextManager[None]:
        """Inside, `model` computes, in each process as often as it likes: forwards without gradient. May be nested;
        inside of it another `whole` is not collective."""
        return nullcontext() if self.shards is None else self.shards.whole()

    def whole_in_first(self) -> AbstractContextManager[None]:
        """Inside, `model` has its weights in fp32 in the first process, in main memory: to be saved. Under LoRA the
        adapter's alone."""
        return nullcontext() if self.shards is None else self.shards.whole_in_first()

    def lent_to_first(self) -> AbstractContextManager[None]:
        """Inside, `model` has all its weights as a forward uses them in the first process, in main memory: to be sent
        elsewhere."""
        return nullcontext() if self.shards is None else self.shards.lent_to_first()

    def adapter_whole(self) -> AbstractContextManager[None]:
        """Inside, `model` has the weights of its adapter, and what is made of them there holds from then on."""
        return nullcontext() if self.shards is None else self.shards.adapter_whole()

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """`plain_weights` of the model, one after another, so that no more than one exists at a time where they are
        sharded. Collective there, but where the model is whole: every process takes them to the end."""
        from mmupt.models.weights import plain_weights

        return plain_weights(self.model) if self.shards is None else self.shards.weights()

    def autocast(self) -> AbstractContextManager[object]:
        return autocast(self.device, self.dtype)

    def attend(self, spans: Sequence[GroupSpan]) -> Attention:
        """Who sees whom in a packed row of these groups."""
        return packed_attention(spans, self.attention, self.device, self.dtype, self.family.windows)


def load_family(path: str, settings: ModelSettings) -> Family:
    """The family of `path` (a folder or a hub id) with its tokenizer, without the weights.

    ModelError names the folder or id and what is missing, foreign or damaged.
    """
    from transformers import AutoConfig

    revision = _revision(path, settings)
    known = FAMILIES[_model_type(path, revision)]
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    try:
        family = known.family.load(path, config, revision)
    except (OSError, ValueError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    written_with = getattr(config, _FINGERPRINT, None)
    if written_with is not None and written_with != tokenizer_fingerprint(family.tokenizer):
        raise ModelError(
            f"{path}: model and tokenizer do not belong together, the model was saved with another tokenizer; "
            "copy both from one folder"
        )
    if settings.attention in CAUSAL_ONLY and (family.windows or family.blocks):
        raise cannot(settings.attention)
    return family


def load_model(path: str, settings: ModelSettings, device: torch.device) -> LoadedModel:
    """The whole model, frozen parts and gradient checkpointing applied. ModelError as for `load_family`."""
    loaded = read_model(path, settings, device)
    loaded.model.to(device)
    return loaded


def read_model(path: str, settings: ModelSettings, device: torch.device, *, empty: bool = False) -> LoadedModel:
    """The same, to be brought to `device` later: it lies in main memory; `empty`, on the meta device, and no weight was
    read."""
    family = load_family(path, settings)
    try:
        model = (_empty if empty else _read_weights)(path, _revision(path, settings))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    family.prepare(model)
    freeze(model, family, settings)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers checkpoints in training mode only. Nothing here has dropout, so that mode is exact as well.
    model.train(settings.gradient_checkpointing)
    pictures = PictureFeatures(family, settings.picture_cache_mib * 2**20)
    return LoadedModel(model, family, device, getattr(torch, settings.dtype), settings.attention, pictures)


def freeze(model: nn.Module, family: Family, settings: ModelSettings) -> None:
    """Switch gradients off for the parts named in `settings.freeze`; ModelError where nothing is left to train."""
    prefixes = tuple(prefix for part in settings.freeze for prefix in family.parts[part])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (prefixes and name.startswith(prefixes)))
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError(f"model.freeze = {list(settings.freeze)} leaves nothing to train; leave one part out")


def model_fingerprint(path: str, settings: ModelSettings) -> str:
    """A hash of the sizes in config.json and of the tokenizer: what two states of one model share, whatever their
    weights, and two models do not."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, revision=_revision(path, settings))
    sizes = json.dumps([config.model_type, *sorted(_whole_numbers(config.to_dict()))])
    vocabulary = tokenizer_fingerprint(load_family(path, settings).tokenizer)
    return hashlib.blake2b(f"{sizes} {vocabulary}".encode(), digest_size=16).hexdigest()


def _whole_numbers(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _whole_numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """A hash of every token with its id. Two tokenizers of one size can pass for each other and make every answer
    wrong, so the folders that mmupt writes remember whose they are."""
    entries = sorted(tokenizer.get_vocab().items())
    return hashlib.blake2b(json.dumps(entries).encode(), digest_size=16).hexdigest()


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """A Hugging Face folder that `load_model`, and any other tool, loads."""
    folder.mkdir(parents=True, exist_ok=True)
    saver: Any = loaded.model
    setattr(saver.config, _FINGERPRINT, tokenizer_fingerprint(loaded.family.tokenizer))
    saver.save_pretrained(folder, safe_serialization=True)
    loaded.family.save(str(folder))


@torch.no_grad()
def copy_weights(loaded: LoadedModel, folder: Path) -> None:
    """Puts the weights of a folder that `save_model` wrote into the model in memory, which stays the same object."""
    its = dict(read_saved(loaded, folder).named_parameters())
    for name, parameter in loaded.model.named_parameters():
        parameter.copy_(its[name])


def read_saved(loaded: LoadedModel, folder: Path, *, empty: bool = False) -> nn.Module:
    """The model of a folder that `save_model` wrote, in main memory, or `empty` as in `read_model`; ModelError unless
    it fits the one in memory."""
    saved: nn.Module = (_empty if empty else _read_weights)(str(folder), None)
    mine, its = dict(loaded.model.named_parameters()), dict(saved.named_parameters())
    for name in {**mine, **its}:
        if name not in mine or name not in its or mine[name].shape != its[name].shape:
            raise ModelError(f"{folder}: its {name} does not fit the model in memory; the folder holds another model")
    return saved


def _model_type(path: str, revision: str | None) -> str:
    """Of a folder or id, from config.json alone: transformers itself may not know the architecture."""
    from transformers import PreTrainedConfig

    try:
        written, _ = PreTrainedConfig.get_config_dict(path, revision=revision)
    except (OSError, ValueError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    if (found := written.get("model_type")) not in FAMILIES:
        raise ModelError(unknown(path, found))
    return str(found)


def _read_weights(path: str, revision: str | None) -> Any:
    """The model in fp32, its language model's attention ours."""
    model_class, form = _class(path, revision)
    return model_class.from_pretrained(path, revision=revision, use_safetensors=True, **form)


def _empty(path: str, revision: str | None) -> Any:
    """The same without weights, on the meta device."""
    from transformers import AutoConfig

    model_class, form = _class(path, revision)
    with torch.device("meta"):
        return model_class._from_config(AutoConfig.from_pretrained(path, revision=revision), **form)


def _class(path: str, revision: str | None) -> tuple[Any, dict[str, Any]]:
    """The model's class, and what it is made with."""
    import transformers

    known = FAMILIES[_model_type(path, revision)]
    attention = {"text_config": PACKED, "vision_config": "sdpa"} if known.pictures else PACKED
    return getattr(transformers, known.model_class), {"dtype": torch.float32, "attn_implementation": attention}


def _revision(path: str, settings: ModelSettings) -> str | None:
    """A revision belongs to the hub id of the recipe, not to the folders a run writes."""
    return settings.revision if path == settings.path else None


def _not_loaded(path: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    kind = "folder" if Path(path).exists() else "neither a folder here nor reachable as a Hugging Face id"
    return f"model {path!r} ({kind}) could not be loaded: {reason}"
