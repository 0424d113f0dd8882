"""The offline world's models: real Qwen2.5-VLs of 1.4M and of 31M parameters, with a tokenizer trained on the spot.

One is written as an ordinary Hugging Face folder and loaded through the path a hub model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.errors import ModelError
from mmupt.models.families.qwen_vl import QwenVL
from mmupt.models.loading import LoadedModel, save_model
from mmupt.models.pictures import PictureFeatures

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

_CHAT_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def train_tokenizer(texts: Iterable[str], vocabulary: int = 512) -> PreTrainedTokenizerFast:
    """A byte-level BPE (any text can be written in it) whose words are those of `texts`. A number below 100 that
    `texts` hold is one token: copying a total into the box is then one step, which so small a model learns reliably."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\\boxed\{| ?[A-Za-z]+| ?\d{1,2}| ?[^A-Za-z\d\s]|\s+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    roles = ["system\n", "user\n", "assistant\n", "system", "user", "assistant"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=1,
        special_tokens=list(_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*roles * 100, *texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[t for t in _SPECIAL if t not in ("<|im_end|>", "<|endoftext|>")],
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Text hidden 128, 4 layers; vision hidden 96, 2 layers; one merged token is 28 x 28 pixels."""
    return _config(
        tokenizer,
        text={
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
        },
        sections=[4, 6, 6],
        vision={"depth": 2, "hidden_size": 96, "intermediate_size": 192, "num_heads": 4, "fullatt_block_indexes": [1]},
    )


def medium_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Text hidden 512, 9 layers, two heads to a key like the hub's models; vision hidden 256, 4 layers."""
    return _config(
        tokenizer,
        text={
            "hidden_size": 512,
            "intermediate_size": 1408,
            "num_hidden_layers": 9,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        },
        sections=[8, 12, 12],
        vision={
            "depth": 4,
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_heads": 4,
            "fullatt_block_indexes": [1, 3],
        },
    )


def _config(
    tokenizer: PreTrainedTokenizerFast, text: dict[str, Any], sections: list[int], vision: dict[str, Any]
) -> Qwen2_5_VLConfig:
    """What the sizes have in common. `sections` share half a head's width among time, height and width."""

    def index(token: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(token))

    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            **text,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "mrope_section": sections, "rope_theta": 10_000.0},
            "bos_token_id": index("<|endoftext|>"),
            "eos_token_id": index("<|im_end|>"),
            "pad_token_id": index("<|endoftext|>"),
            "tie_word_embeddings": True,
        },
        vision_config={
            **vision,
            "out_hidden_size": text["hidden_size"],
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
        },
        image_token_id=index("<|image_pad|>"),
        video_token_id=index("<|video_pad|>"),
        vision_start_token_id=index("<|vision_start|>"),
        vision_end_token_id=index("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def build_tiny_model(folder: Path, texts: Iterable[str], seed: int) -> Path:
    """Write an untrained model, its tokenizer, chat template and picture processor into `folder`."""
    return _build(folder, train_tokenizer(texts), tiny_config, seed)


def build_medium_model(folder: Path, texts: Iterable[str], seed: int) -> Path:
    """The same of 31M parameters, with a vocabulary that holds the words of the larger pictures."""
    return _build(folder, train_tokenizer(texts, vocabulary=1024), medium_config, seed)


_MODELS = {"world:tiny": build_tiny_model, "world:medium": build_medium_model}


def build_world_model(name: str, folder: Path, texts: Iterable[str], seed: int) -> Path:
    """The model that `model.path = "world:..."` names. ModelError where there is none of that name."""
    if name not in _MODELS:
        raise ModelError(f"model.path {name!r}: the world has no such model; choose one of {', '.join(_MODELS)}")
    return _MODELS[name](folder, texts, seed)


def _build(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    config: Callable[[PreTrainedTokenizerFast], Qwen2_5_VLConfig],
    seed: int,
) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = Qwen2_5_VLForConditionalGeneration(config(tokenizer))
    # Of several processes transformers would let the first alone write; here each has a folder of its own.
    model.should_save_on_this_rank = lambda is_main_process: True
    processor = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=28 * 28 * 1280)
    family = QwenVL(model.config, tokenizer, processor)
    features = PictureFeatures(family, capacity=0)
    save_model(LoadedModel(model, family, torch.device("cpu"), torch.float32, "auto", features), folder)
    return folder
