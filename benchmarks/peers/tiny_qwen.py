"""The model of the speed benchmarks: a tiny Qwen2.5-VL with random weights, 4 layers of text (hidden 256), 4 of vision
(hidden 128). Tokenizer and chat template are the offline world's."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.models.families.qwen_vl import QwenVL
from mmupt.world.settings import WorldSettings
from mmupt.world.texts import world_texts
from mmupt.world.tiny_model import tiny_config, train_tokenizer

VOCABULARY = 512
FILLER = " dice"  # one token of the tokenizer, however often it is repeated


def save_tiny_qwen(folder: Path, processor: Qwen2VLImageProcessorPil, *, intermediate_size: int) -> QwenVL:
    """Writes the model into `folder`: 4.5M parameters with an intermediate size of 768 in the text layers."""
    tokenizer = train_tokenizer(world_texts(WorldSettings(mix="full")), VOCABULARY)
    config = tiny_config(tokenizer).to_dict()
    config["text_config"] |= {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10_000.0},
    }
    config["vision_config"] |= {
        "depth": 4,
        "hidden_size": 128,
        "intermediate_size": 256,
        "out_hidden_size": 256,
        "fullatt_block_indexes": [3],
    }
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_dict(config))
    model.save_pretrained(folder)
    family = QwenVL(model.config, tokenizer, processor)
    family.save(str(folder))
    return family
