"""A model's sizes and its number of parameters, from its config.json alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmupt.errors import ConfigError, ModelError
from mmupt.models.flops import GroupLengths, ModelShape, Trained, VisionShape
from mmupt.models.settings import ModelSettings
from mmupt.world.settings import WorldSettings

_NO_TOWER = VisionShape(0, 0, 0, 0, 0, 1, 1, 0)
_SIDE = 14  # pixels of a patch's side


@dataclass(frozen=True, slots=True)
class Architecture:
    """`shape` is what FLOPs are counted from (models/flops.py); `tied`: the head is the embedding; `qkv_bias`,
    `qk_norm`: what else an attention layer of the language model holds."""

    model_type: str
    shape: ModelShape
    tied: bool
    qkv_bias: bool
    qk_norm: bool

    @property
    def reads_pictures(self) -> bool:
        return self.shape.vision.layers > 0

    @property
    def layer_parameters(self) -> int:
        """Of a layer of the language model. Attention: q [D, H d], k and v [D, K d], o [H d, D], biases where there are
        any; MLP: gate and up [D, F], down [F, D]; two norms [D]."""
        s = self.shape
        width, kv_width = s.heads * s.head_dim, s.kv_heads * s.head_dim
        attention = s.hidden * (2 * width + 2 * kv_width)
        extra = (width + 2 * kv_width) * self.qkv_bias + 2 * s.head_dim * self.qk_norm
        return attention + extra + 3 * s.hidden * s.intermediate + 2 * s.hidden

    @property
    def embedding_parameters(self) -> int:
        return self.shape.vocabulary * self.shape.hidden

    @property
    def language_parameters(self) -> int:
        """Embedding, layers, last norm, and the head where it is not tied to the embedding."""
        tables = self.embedding_parameters * (1 if self.tied else 2)
        return tables + self.shape.layers * self.layer_parameters + self.shape.hidden

    @property
    def block_parameters(self) -> int:
        """Of a block of Qwen2.5-VL's tower: qkv [D, 3 D], proj [D, D], gate and up [D, F], down [F, D], all with
        biases; two norms [D]."""
        v = self.shape.vision
        return 4 * v.hidden**2 + 4 * v.hidden + 3 * v.hidden * v.intermediate + 2 * v.intermediate + 3 * v.hidden

    @property
    def vision_parameters(self) -> int:
        """Patch embedding (no bias) and blocks."""
        v = self.shape.vision
        return v.patch_values * v.hidden + v.layers * self.block_parameters if v.layers else 0

    @property
    def projector_parameters(self) -> int:
        """A norm [D], then two layers over merge x merge patches: [m D, m D] and [m D, D of the language model]."""
        v = self.shape.vision
        inside = v.hidden * v.merge**2
        return v.hidden + inside * inside + inside + inside * v.out_hidden + v.out_hidden if v.layers else 0

    @property
    def parameters(self) -> int:
        return self.language_parameters + self.vision_parameters + self.projector_parameters

    @property
    def root_parameters(self) -> int:
        """What is in no layer: embedding, head, last norm, patch embedding, merger. FSDP2 gathers them for the whole
        forward and backward pass."""
        v = self.shape.vision
        layers = self.shape.layers * self.layer_parameters + v.layers * (self.block_parameters if v.layers else 0)
        return self.parameters - layers

    def trained(self, model: ModelSettings) -> Trained:
        """What of the model gets gradients."""
        if model.lora is not None:
            inside = bool({"gate_proj", "up_proj", "down_proj"} & set(model.lora.targets)) and self.reads_pictures
            return Trained("adapter" if inside else "none", "none", "adapter")
        return Trained(
            **{part: "none" if part in model.freeze else "weights" for part in ("vision", "projector", "language")}
        )

    def trained_parameters(self, model: ModelSettings) -> int:
        """How many numbers AdamW moves."""
        if model.lora is not None:
            return self.adapter_parameters(model)
        parts = {
            "vision": self.vision_parameters,
            "projector": self.projector_parameters,
            "language": self.language_parameters,
        }
        return sum(count for part, count in parts.items() if part not in model.freeze)

    def adapter_parameters(self, model: ModelSettings) -> int:
        """LoRA's A [rank, in] and B [out, rank] for every linear layer whose name ends in one of `targets`; peft finds
        the MLPs of the tower by the same names as those of the language model."""
        assert model.lora is not None
        s, v, rank = self.shape, self.shape.vision, model.lora.rank
        width, kv_width = s.heads * s.head_dim, s.kv_heads * s.head_dim
        language = {
            "q_proj": s.hidden + width,
            "k_proj": s.hidden + kv_width,
            "v_proj": s.hidden + kv_width,
            "o_proj": s.hidden + width,
        } | dict.fromkeys(("gate_proj", "up_proj", "down_proj"), s.hidden + s.intermediate)
        tower = dict.fromkeys(("gate_proj", "up_proj", "down_proj"), v.hidden + v.intermediate) | {"qkv": 4 * v.hidden}
        if unknown := [t for t in model.lora.targets if t not in language and t not in tower]:
            raise ConfigError(
                f"model.lora.targets: a plan does not know how large {', '.join(unknown)} is; known are "
                f"{', '.join(dict.fromkeys([*language, *tower]))}"
            )
        per_layer = sum(language.get(target, 0) for target in model.lora.targets)
        per_block = sum(tower.get(target, 0) for target in model.lora.targets)
        return rank * (s.layers * per_layer + v.layers * per_block)

    def picture_grid(self, pixels: int) -> tuple[int, int, int]:
        """The patches (frames, rows, columns) of a picture of about this area, as square as it gets."""
        merge = self.shape.vision.merge
        tokens = max(1, pixels // (_SIDE * merge) ** 2)
        rows = max(1, int(tokens**0.5))
        return 1, rows * merge, tokens // rows * merge

    def group(self, prompt: int, completions: tuple[int, ...], pixels: int) -> GroupLengths:
        """A group with one picture of `pixels` among its `prompt` tokens, none for a model that reads text alone."""
        return GroupLengths(prompt, completions, (self.picture_grid(pixels),) if self.reads_pictures else ())


def read_architecture(where: str, revision: str | None = None, world: WorldSettings | None = None) -> Architecture:
    """Of a config.json, of a folder that holds one, of a model whose sizes are written down below, of a model of the
    offline `world`, or of a hub id.

    ModelError says where nothing was found, or which architectures there are.
    """
    if where.startswith("world:"):
        config = _world_config(where, world or WorldSettings())
    elif where in PUBLIC and not Path(where).exists():
        config = PUBLIC[where]
    else:
        config = _read(where, revision)
    return architecture(config, where)


def architecture(config: Mapping[str, Any], where: str) -> Architecture:
    """From a configuration in either layout: text sizes in a table of their own, or (as on the hub) at its top."""
    kind = str(config.get("model_type"))
    if kind not in ("qwen2_5_vl", "qwen2", "qwen3"):
        raise ModelError(
            f"{where}: the sizes of architecture {kind!r} are not written down for plans; known are qwen2_5_vl, qwen2, "
            "qwen3. One that is much like yours can stand in for it: --model-config"
        )
    try:
        return _ARCHITECTURES[kind](config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{where}: the configuration of a {kind} lacks {error}") from error


def _qwen2_5_vl(config: Mapping[str, Any]) -> Architecture:
    text = {**config, **config.get("text_config", {})}
    vision = {"in_channels": 3, "temporal_patch_size": 2, **config["vision_config"]}
    named = SimpleNamespace(
        model_type="qwen2_5_vl", text_config=SimpleNamespace(**text), vision_config=SimpleNamespace(**vision)
    )
    shape = ModelShape.from_config(named)
    assert shape is not None
    return Architecture("qwen2_5_vl", shape, _tied(config, text), qkv_bias=True, qk_norm=False)


def _text(kind: str, *, qkv_bias: bool, qk_norm: bool) -> Any:
    def read(config: Mapping[str, Any]) -> Architecture:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        shape = ModelShape(
            layers=config["num_hidden_layers"],
            hidden=hidden,
            intermediate=config["intermediate_size"],
            heads=heads,
            kv_heads=config["num_key_value_heads"],
            head_dim=config.get("head_dim") or hidden // heads,
            vocabulary=config["vocab_size"],
            vision=_NO_TOWER,
        )
        return Architecture(kind, shape, _tied(config, config), qkv_bias, qk_norm)

    return read


_ARCHITECTURES = {
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2": _text("qwen2", qkv_bias=True, qk_norm=False),
    "qwen3": _text("qwen3", qkv_bias=False, qk_norm=True),
}


def _tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False)))


def _read(where: str, revision: str | None) -> Mapping[str, Any]:
    path = Path(where)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        file = _from_hub(where, revision)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: is no configuration of a model ({error})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file}: is no configuration of a model (no JSON object)")
    return found


def _from_hub(where: str, revision: str | None) -> Path:
    from transformers.utils import cached_file

    try:
        found = cached_file(where, "config.json", revision=revision)
    except (OSError, ValueError):
        found = None
    if found is None:
        raise ModelError(
            f"model {where!r}: neither a folder or file here nor reachable as a Hugging Face id; name a config.json "
            f"with --model-config, or one of {', '.join(PUBLIC)}"
        )
    return Path(found)


def _world_config(name: str, world: WorldSettings) -> Mapping[str, Any]:
    """The offline world's models are built on the spot, so this one is, too."""
    import tempfile

    from mmupt.world.texts import world_texts
    from mmupt.world.tiny_model import build_world_model

    with tempfile.TemporaryDirectory() as folder:
        build_world_model(name, Path(folder), world_texts(world), seed=0)
        return dict(json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")))


def _qwen_public(
    hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int, tied: bool, tower: int
) -> Mapping[str, Any]:
    return {
        "model_type": "qwen2_5_vl",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": tower,
            "num_heads": 16,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "out_hidden_size": hidden,
        },
    }


PUBLIC: dict[str, Mapping[str, Any]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": _qwen_public(2048, 36, 16, 2, 11008, 151_936, True, 3420),
    "Qwen/Qwen2.5-VL-7B-Instruct": _qwen_public(3584, 28, 28, 4, 18944, 152_064, False, 3420),
    "Qwen/Qwen2.5-VL-32B-Instruct": _qwen_public(5120, 64, 40, 8, 27648, 152_064, False, 3456),
    "Qwen/Qwen2.5-VL-72B-Instruct": _qwen_public(8192, 80, 64, 8, 29568, 152_064, False, 3456),
}
"""Sizes in the public config.json of models that recipes often name, so that a plan needs no network."""
