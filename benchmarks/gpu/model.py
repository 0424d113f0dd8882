"""The model and the group that every measurement of gpu_step.py shares, made on the spot: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.algo.advantage import group_advantage
from mmupt.algo.settings import AttentionKind
from mmupt.models.attention import PACKED
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.qwen_vl import QwenVL
from mmupt.models.loading import LoadedModel
from mmupt.models.pictures import PictureFeatures
from mmupt.train.update import ScoredGroup
from mmupt.types import EncodedPrompt, Prompt, Rollout, RolloutGroup
from mmupt.world.tiny_model import tiny_config, train_tokenizer

SIDE = 28  # pixels along the side of a merged patch, one token
FILLER = " dice"  # one token of the tokenizer, however often it is repeated
FIRST_ORDINARY = 7  # token ids below are chat structure and picture placeholders


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is: `prompt` tokens, of which a picture of rows x columns merged patches."""

    prompt: int
    rows: int
    columns: int
    real: bool


REAL = Scale(prompt=1000, rows=28, columns=32, real=True)  # 896 tokens of picture
TINY = Scale(prompt=40, rows=4, columns=6, real=False)


def make_family(scale: Scale) -> tuple[Qwen2_5_VLConfig, QwenVL]:
    """The configuration, and a family with the offline world's small tokenizer. The token ids of picture and chat are
    that tokenizer's; all sizes, the vocabulary's included, are Qwen/Qwen2.5-VL-3B-Instruct's config.json."""
    tokenizer = train_tokenizer(["Add all dice."] * 10)
    config = tiny_config(tokenizer)
    if scale.real:
        table = config.to_dict()
        table["text_config"] |= {
            "vocab_size": 151_936,
            "hidden_size": 2048,
            "intermediate_size": 11_008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128_000,
            "rms_norm_eps": 1e-6,
            "use_sliding_window": False,
            "layer_types": ["full_attention"] * 36,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1_000_000.0},
        }
        table["vision_config"] |= {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "tokens_per_second": 2,
        }
        config = Qwen2_5_VLConfig.from_dict(table)
    return config, QwenVL(config, tokenizer, Qwen2VLImageProcessorPil())


def make_model(config: Qwen2_5_VLConfig, device: torch.device, weights: torch.dtype) -> Any:
    """Random weights, exactly as transformers builds the model: what TRL is given."""
    torch.manual_seed(0)
    with torch.device(device):
        return Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=weights, attn_implementation="sdpa")


def make_ours(model: Any, family: QwenVL, device: torch.device, compute: torch.dtype) -> LoadedModel:
    """The same model object as `load_model` leaves it. It cannot be given to TRL any more."""
    model.set_attn_implementation({"text_config": PACKED, "vision_config": "sdpa"})
    family.prepare(model)
    return LoadedModel(model, family, device, compute, "auto", PictureFeatures(family, 0))


def with_attention(loaded: LoadedModel, kind: AttentionKind, compute: torch.dtype | None = None) -> LoadedModel:
    return LoadedModel(loaded.model, loaded.family, loaded.device, compute or loaded.dtype, kind, loaded.pictures)


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """As both sides do it: without re-entrance. There is no dropout, so the mode changes nothing else."""
    switch: Any = model
    if on:
        switch.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        switch.gradient_checkpointing_disable()
    model.train(on)


def make_prompt(scale: Scale, family: QwenVL) -> EncodedPrompt:
    """One picture of noise, and text up to exactly `scale.prompt` tokens."""
    noise = np.random.default_rng(0).integers(0, 256, (scale.rows * SIDE, scale.columns * SIDE, 3), np.uint8)
    picture = family.picture(Image.fromarray(noise), PixelLimits(SIDE * SIDE, noise.shape[0] * noise.shape[1]))

    def encode(words: int) -> EncodedPrompt:
        parts = [{"type": "image"}, {"type": "text", "text": "." + FILLER * words}]
        return family.encode([{"role": "user", "content": parts}], [picture])

    prompt = encode(scale.prompt - encode(0).length)
    if prompt.length != scale.prompt:
        raise SystemExit(f"a prompt of {scale.prompt} tokens came out with {prompt.length}")
    return prompt


def make_group(prompt: EncodedPrompt, vocabulary: int, size: int, completion: int) -> ScoredGroup:
    """`size` random completions of `completion` tokens each, with an advantage each that is not zero."""
    rng = np.random.default_rng((size, completion))
    rollouts = tuple(
        Rollout(tuple(ids), (0.0,) * completion, "", "length")
        for ids in rng.integers(FIRST_ORDINARY, vocabulary, (size, completion)).tolist()
    )
    rewards_G = torch.tensor(rng.random(size), dtype=torch.float32)
    return ScoredGroup(RolloutGroup(Prompt("noise", ""), prompt, rollouts), group_advantage(rewards_G, "std"))
