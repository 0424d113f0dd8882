"""Does it fit? A rough sum of what must be in memory at once while a stage trains; `mmupt profile` measures it.

| | bytes |
|---|---|
| weights, fp32 | 4 a parameter |
| gradients and AdamW's two moments, fp32 | 12 a parameter that is trained |
| a frozen second copy (KL term, the reward start_vote, the guard's way back) | 4 a parameter, none under LoRA |
| logits of one chunk, twice, fp32 | 8 * `logprob_chunk` * vocabulary |
| activations of one packed row | `micro_batch_tokens` * hidden * layers * 34 (Korthikanti et al., arXiv 2205.05198), |
| | or * 2 with gradient checkpointing; twice that where `model.dtype` is float32 |

Frozen parts (`model.freeze`) are counted as if they were trained. Fragmentation, pictures and generation come on top.
An engine of its own takes what it is told to (`rollout.vllm.gpu_memory_fraction`), and gives it back while the model is
trained unless `sleep` is off.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding
from mmupt.doctor.machine import GIB, free_memory
from mmupt.errors import ConfigError
from mmupt.models.settings import ModelSettings
from mmupt.sources import WORLD
from mmupt.train.settings import DpoStage, GrpoStage, TrainStage

_TIGHT = 0.9
_LORA_SHARE = 0.02  # of the parameters, at usual ranks


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a model: parameters, and the shape of its language model."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int


def memory(case: Case) -> Iterator[Finding]:
    """The stage that needs most, against what the device has."""
    recipe = case.recipe
    if recipe is None or recipe.model.path.startswith(WORLD):
        return
    training = [stage for stage in recipe.stages if isinstance(stage, TrainStage)]
    sizes = read_sizes(recipe.model)
    if sizes is None:
        yield Finding(
            "memory", "warning",
            f"the weights of {recipe.model.path} are not on this machine, so nothing is said about memory; a run would "
            "download them",
            "download it first (hf download), and ask again",
        )  # fmt: skip
        return
    if not training:
        return
    needs = {stage.name: stage_bytes(stage, recipe.model, sizes) for stage in training}
    name = max(needs, key=lambda stage: needs[stage])
    (there, what) = _there(recipe.model.device)
    if there is None:
        return
    text = (
        f"stage {name} needs about {needs[name] / GIB:.1f} GiB beside pictures and generation "
        f"({sizes.parameters / 1e9:.2f} billion parameters); {what} has {there / GIB:.1f} GiB"
    )
    advice = (
        "set model.lora, model.gradient_checkpointing = true, or a smaller micro_batch_tokens; or take a larger device"
    )
    level = "error" if needs[name] > there else "warning" if needs[name] > _TIGHT * there else "ok"
    yield Finding("memory", level, text, None if level == "ok" else advice)  # type: ignore[arg-type]


def stage_bytes(stage: TrainStage, model: ModelSettings, sizes: Sizes) -> float:
    """By the table above."""
    trained = sizes.parameters * (_LORA_SHARE if model.lora is not None else 1.0)
    copies = model.lora is None and (
        isinstance(stage, DpoStage)
        or (isinstance(stage, GrpoStage) and (stage.algo.kl_coef > 0 or stage.reward.name == "start_vote"))
        or (isinstance(stage, GrpoStage) and stage.kind == "upt" and stage.guard.enabled)
    )
    per_layer = 2.0 if model.gradient_checkpointing else 34.0
    precision = 2.0 if model.dtype == "float32" else 1.0
    activations = stage.micro_batch_tokens * sizes.hidden * sizes.layers * per_layer * precision
    logits = 8.0 * stage.logprob_chunk * sizes.vocabulary
    return 4.0 * sizes.parameters * (2 if copies else 1) + 12.0 * trained + activations + logits


def read_sizes(model: ModelSettings) -> Sizes | None:
    """From the headers of a local folder's (or the hub cache's) safetensors files and its config.json; None where they
    are not here. Nothing is downloaded."""
    folder = _local(model)
    if folder is None:
        return None
    files = sorted(folder.glob("*.safetensors"))
    config_file = folder / "config.json"
    if not files or not config_file.exists():
        return None
    config = json.loads(config_file.read_text(encoding="utf-8"))
    text: Mapping[str, Any] = {**config, **(config.get("text_config") or config.get("llm_config") or {})}
    try:
        shape = (int(text["hidden_size"]), int(text["num_hidden_layers"]), int(text["vocab_size"]))
    except KeyError:
        return None
    return Sizes(sum(map(_parameters, files)), *shape)


def _parameters(file: Path) -> int:
    """Of one safetensors file: eight bytes of length, then a JSON header with the shape of each tensor."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _local(model: ModelSettings) -> Path | None:
    if (folder := Path(model.path).expanduser()).is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model.path, revision=model.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        return None


def _there(name: str) -> tuple[int | None, str]:
    """Bytes of the device's memory that a run can have."""
    import torch

    from mmupt.runtime.device import pick_device

    try:
        device = pick_device(name)
    except ConfigError:  # told by `machine`
        return None, ""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory, torch.cuda.get_device_name(device)
    return free_memory(), "this machine's memory"
