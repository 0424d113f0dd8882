"""Tiny random models of the real classes of every family, each written as an ordinary Hugging Face folder and loaded
through the path a hub model takes; and transformers' own forward beside them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.algo.packing import PackItem
from mmupt.models.families import FAMILIES
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt, Picture

LIMITS = PixelLimits(28 * 28, 20_000)
CPU = torch.device("cpu")

CHATML = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}PICTURE{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
CHATML_TEXT = """\
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>")


def tokenizer_of(
    tokens: Sequence[str],
    template: str,
    *,
    eos: str = "<|im_end|>",
    pad: str = "<|endoftext|>",
    bos: str | None = None,
    named: Mapping[str, str] | None = None,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE that joins newlines, as real ones do; `tokens` are its added ones, `named` those of them that
    transformers' processors find by a name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\d|\n+| ?[^A-Za-z\d\s]|\s+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    texts = ["system\nuser\nassistant\n", "Add all dice.\n\nHow many red dice?\n\n\n", "\n", "\n\n", "\n\n\n"]
    tokenizer.train_from_iterator(texts * 20, trainer)
    special = {"eos_token": eos, "pad_token": pad, **({"bos_token": bos} if bos else {})}
    more = [t for t in tokens if t not in special.values()]
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **special,
        **({"extra_special_tokens": dict(named)} if named else {"additional_special_tokens": more}),
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )
    made.add_tokens(more, special_tokens=True)
    return made


TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


@dataclass(frozen=True)
class Build:
    """How one tiny model is made. `inputs` turns a prompt into what transformers' own forward takes beside the ids;
    `legacy_template` is written where older multimodal models keep theirs."""

    config: Callable[[PreTrainedTokenizerFast], Any]
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    inputs: Callable[[EncodedPrompt, Tensor], dict[str, Any]]
    processor: Callable[[], Any] | None = None
    legacy_template: str | None = None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def pictures(self) -> bool:
        return self.processor is not None


def text_config(tokenizer: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    return {
        **TEXT,
        "vocab_size": len(tokenizer) + 5,  # rows that are no token, as every released model has some
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def cat(pictures: Sequence[Picture], *names: str) -> dict[str, Tensor]:
    return {name: torch.cat([p.tensors[name] for p in pictures]) for name in names} if pictures else {}


def ids_of(tokenizer: PreTrainedTokenizerFast, **names: str) -> dict[str, int]:
    return {name: int(tokenizer.convert_tokens_to_ids(token)) for name, token in names.items()}


def qwen_inputs(prompt: EncodedPrompt, ids_1L: Tensor) -> dict[str, Tensor]:
    types = torch.zeros_like(ids_1L)
    if prompt.pictures:
        types[ids_1L == QWEN_IMAGE] = 1
    return {"mm_token_type_ids": types.int(), **cat(prompt.pictures, "pixel_values", "image_grid_thw")}


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    return tokenizer_of(QWEN_TOKENS, CHATML.replace("PICTURE", picture))


QWEN_IMAGE = int(qwen_tokenizer().convert_tokens_to_ids("<|image_pad|>"))


def qwen_vl_config(name: str, text: dict[str, Any], vision: dict[str, Any]) -> Callable[..., Any]:
    def make(tokenizer: PreTrainedTokenizerFast) -> Any:
        ids = ids_of(
            tokenizer,
            image_token_id="<|image_pad|>",
            video_token_id="<|video_pad|>",
            vision_start_token_id="<|vision_start|>",
            vision_end_token_id="<|vision_end|>",
        )
        config = getattr(transformers, name)
        return config(text_config=text_config(tokenizer, **text), vision_config=vision, tie_word_embeddings=True, **ids)

    return make


def mrope(section: list[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": section, **more}


def text_only(name: str, **more: Any) -> Build:
    def make(tokenizer: PreTrainedTokenizerFast) -> Any:
        return getattr(transformers, name)(**text_config(tokenizer, **more))

    return Build(make, lambda: tokenizer_of(("<|im_start|>",), CHATML_TEXT), lambda prompt, ids: {})


SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 14,
    "vision_use_head": False,
}
PINPOINTS = [[42, 84], [84, 42], [84, 84], [42, 126], [126, 84]]
USER_ASSISTANT = """\
<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"""
TURNS = """\
{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}
{% for part in message['content'] %}{% if part['type'] == 'image' %}<start_of_image>{% else %}\
{{ part['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""


def composite(name: str, image: str, vision: dict[str, Any], text: dict[str, Any], **more: Any) -> Callable[..., Any]:
    """A config of a tower and a language model; `image` is the picture token."""

    def make(tokenizer: PreTrainedTokenizerFast) -> Any:
        index = int(tokenizer.convert_tokens_to_ids(image))
        return getattr(transformers, name)(
            text_config=text_config(tokenizer, **text), vision_config=vision, image_token_id=index, **more
        )

    return make


def internvl_tokenizer() -> PreTrainedTokenizerFast:
    tokens = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>", "<|im_start|>")
    names = ("start_image_token", "end_image_token", "context_image_token", "video_token")
    return tokenizer_of(
        tokens, CHATML.replace("PICTURE", "<IMG_CONTEXT>\n"), named=dict(zip(names, tokens, strict=False))
    )


def llava_inputs(prompt: EncodedPrompt, ids_1L: Tensor) -> dict[str, Any]:
    if not prompt.pictures:
        return {}
    return {**cat(prompt.pictures, "pixel_values", "image_sizes"), "batch_num_images": [len(prompt.pictures)]}


def idefics_tokenizer() -> PreTrainedTokenizerFast:
    grid = (f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5))
    tokens = ("<image>", "<fake_token_around_image>", "<global-img>", *grid, "<end_of_utterance>")
    return tokenizer_of(tokens, USER_ASSISTANT, eos="<end_of_utterance>", pad="<|im_end|>", bos="<|im_start|>")


def idefics(name: str) -> Build:
    vision = {key: value for key, value in SIGLIP.items() if key not in ("model_type", "vision_use_head")}
    config = composite(
        f"{name}Config",
        "<image>",
        {**vision, "image_size": 56},
        {"model_type": "llama", "head_dim": 16},
        scale_factor=2,
    )
    processor = getattr(
        importlib.import_module(f"transformers.models.{name.lower()}.image_processing_pil_{name.lower()}"),
        f"{name}ImageProcessorPil",
    )
    return Build(
        config,
        idefics_tokenizer,
        lambda prompt, ids: {k: v[None] for k, v in cat(prompt.pictures, "pixel_values").items()},
        lambda: processor(size={"longest_edge": 168}, max_image_size={"longest_edge": 56}),
        legacy_template=USER_ASSISTANT if name == "SmolVLM" else None,
        files={"processor_config.json": {"image_seq_len": 4}},
    )


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    tokens = ("<start_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>")
    named = {"boi_token": tokens[1], "eoi_token": tokens[2], "image_token": tokens[3]}
    tokenizer = tokenizer_of((*tokens, "<end_of_turn>"), TURNS, eos="<eos>", pad="<pad>", bos="<bos>", named=named)
    tokenizer.add_tokens(["\n\n\n\n", "<table>"])  # text that is an added token, as in Gemma's own
    return tokenizer


def gemma_inputs(prompt: EncodedPrompt, ids_1L: Tensor) -> dict[str, Tensor]:
    image = gemma_tokenizer().convert_tokens_to_ids("<image_soft_token>")
    return {"token_type_ids": (ids_1L == image).int(), **cat(prompt.pictures, "pixel_values")}


BUILDS: dict[str, Build] = {
    "qwen2_vl": Build(
        qwen_vl_config(
            "Qwen2VLConfig",
            {"rope_parameters": mrope([2, 3, 3])},
            {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14},
        ),
        qwen_tokenizer,
        qwen_inputs,
        lambda: Qwen2VLImageProcessorPil(patch_size=14),
    ),
    "qwen2_5_vl": Build(
        qwen_vl_config(
            "Qwen2_5_VLConfig",
            {
                "rope_parameters": mrope([2, 3, 3]),
                "use_sliding_window": True,
                "sliding_window": 9,
                "max_window_layers": 1,
            },
            {
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_heads": 2,
                "out_hidden_size": 64,
                "patch_size": 14,
                "window_size": 56,
                "fullatt_block_indexes": [1],
            },
        ),
        qwen_tokenizer,
        qwen_inputs,
        lambda: Qwen2VLImageProcessorPil(patch_size=14),
    ),
    "qwen3_vl": Build(
        qwen_vl_config(
            "Qwen3VLConfig",
            {"head_dim": 16, "rope_parameters": mrope([4, 2, 2], mrope_interleaved=True)},
            {
                "depth": 3,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_heads": 2,
                "out_hidden_size": 64,
                "patch_size": 16,
                "num_position_embeddings": 36,
                "deepstack_visual_indexes": [0, 1],
            },
        ),
        qwen_tokenizer,
        qwen_inputs,
        lambda: Qwen2VLImageProcessorPil(patch_size=16),
    ),
    "internvl": Build(
        composite(
            "InternVLConfig",
            "<IMG_CONTEXT>",
            {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": [56, 56],
                "patch_size": [14, 14],
                "attention_bias": True,
            },
            {
                "model_type": "qwen2",
                "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0},
            },
            image_seq_length=4,
            tie_word_embeddings=False,
        ),
        internvl_tokenizer,
        lambda prompt, ids: cat(prompt.pictures, "pixel_values"),
        lambda: GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, max_patches=4),
        files={"processor_config.json": {"image_seq_length": 4}},
    ),
    "llava_onevision": Build(
        composite(
            "LlavaOnevisionConfig",
            "<image>",
            {**SIGLIP, "image_size": 42},
            {"model_type": "qwen2"},
            image_grid_pinpoints=PINPOINTS,
            vision_aspect_ratio="anyres_max_2",
        ),
        lambda: tokenizer_of(("<image>", "<video>", "<|im_start|>"), CHATML_TEXT),  # its own knows no pictures
        llava_inputs,
        lambda: LlavaOnevisionImageProcessorPil(size={"height": 42, "width": 42}, image_grid_pinpoints=PINPOINTS),
        legacy_template=CHATML.replace("PICTURE", "<image>\n"),
        files={"processor_config.json": {"num_image_tokens": 9, "vision_feature_select_strategy": "full"}},
    ),
    "idefics3": idefics("Idefics3"),
    "smolvlm": idefics("SmolVLM"),
    "gemma3": Build(
        composite(
            "Gemma3Config",
            "<image_soft_token>",
            {**SIGLIP, "image_size": 56},
            {
                "head_dim": 16,
                "query_pre_attn_scalar": 16,
                "sliding_window": 6,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
            mm_tokens_per_image=4,
        ),
        gemma_tokenizer,
        gemma_inputs,
        lambda: Gemma3ImageProcessorPil(size={"height": 56, "width": 56}),
    ),
    "qwen2": text_only("Qwen2Config", use_sliding_window=True, sliding_window=7, max_window_layers=1),
    "qwen3": text_only("Qwen3Config", head_dim=32),
}


def write(name: str, folder: Path, change: Callable[[Any], object] = lambda config: None) -> Path:
    """The folder of an untrained model with weights large enough for everything to matter. `change` may change its
    configuration."""
    build = BUILDS[name]
    tokenizer = build.tokenizer()
    config = build.config(tokenizer)
    change(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, FAMILIES[name].model_class)(config)
        with torch.no_grad():
            for parameter in model.parameters():
                scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.2
                parameter.copy_(parameter * (parameter.dim() == 1) + scale * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if build.processor is not None:
        build.processor().save_pretrained(folder)
    if build.legacy_template is not None:
        (folder / "chat_template.jinja").unlink()
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": build.legacy_template}))
    for file, content in build.files.items():
        (folder / file).write_text(json.dumps(content))
    return folder


@dataclass(frozen=True)
class Tiny:
    """One family's tiny model. `plain` is the same as transformers loads it, nothing of ours in it."""

    name: str
    folder: Path
    build: Build

    def load(self, **settings: Any) -> LoadedModel:
        return load_model(str(self.folder), ModelSettings(path=str(self.folder), **settings), CPU)

    def plain(self) -> Any:
        model_class = getattr(transformers, FAMILIES[self.name].model_class)
        return model_class.from_pretrained(self.folder, dtype=torch.float32, attn_implementation="sdpa").eval()

    def encode(self, loaded: LoadedModel, rng: np.random.Generator, text: str, sizes: Sequence[tuple[int, int]]) -> Any:
        images = random_images(rng, sizes)
        return loaded.family.encode(messages(text, len(images)), [loaded.family.picture(i, LIMITS) for i in images])

    def items(self, loaded: LoadedModel, seed: int) -> list[PackItem]:
        """Groups with ragged lengths: two pictures, one picture, none; 1 to 12 tokens a completion."""
        rng = np.random.default_rng(seed)
        pictures = [[(56, 56), (84, 120)], [(150, 70)], []] if self.build.pictures else [[], [], []]
        texts = ["Add all dice.", "How many red dice?\n\nCount.", "Largest die?"]
        prompts = [self.encode(loaded, rng, text, sizes) for text, sizes in zip(texts, pictures, strict=True)]
        banned = set(loaded.family.banned_ids)
        spoken = [i for i in range(len(loaded.family.tokenizer)) if i not in banned]
        return [
            PackItem(p, [rng.choice(spoken, rng.integers(1, 13)).tolist() for _ in range(rng.integers(2, 5))])
            for p in prompts
        ]

    def item(self, prompt: EncodedPrompt, completions: Sequence[Sequence[int]]) -> PackItem:
        return PackItem(prompt, completions)

    def images(self, rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
        return random_images(rng, sizes)

    def messages(self, text: str, images: int) -> list[dict[str, Any]]:
        return messages(text, images)

    def logprobs(self, plain: Any, prompt: EncodedPrompt, completion: Sequence[int], temperature: float) -> Tensor:
        """f32[R] of one rollout alone, prompt, pictures and all: transformers' positions, its masks."""
        ids = torch.cat([prompt.token_ids, torch.tensor(completion)])[None]
        logits = plain(input_ids=ids, use_cache=False, **self.build.inputs(prompt, ids)).logits[0]
        picked = (logits[prompt.length - 1 : -1] / temperature).log_softmax(-1)
        return picked.gather(-1, torch.tensor(completion)[:, None])[:, 0]


def random_images(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    return [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def messages(text: str, images: int) -> list[dict[str, Any]]:
    """Pictures in front, and between the words where there are several."""
    parts: list[dict[str, str]] = [{"type": "text", "text": text}]
    if images:
        parts.insert(0, {"type": "image"})
    if images > 1:
        words = text.split(" ", 1)
        parts = [{"type": "image"}, {"type": "text", "text": words[0]}]
        parts += [{"type": "image"} for _ in range(images - 1)]
        parts.append({"type": "text", "text": " " + words[-1]})
    return [{"role": "user", "content": parts}]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = write(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture(params=sorted(BUILDS))
def tiny_family(request: pytest.FixtureRequest, written: Callable[[str], Path]) -> Tiny:
    return Tiny(request.param, written(request.param), BUILDS[request.param])


@pytest.fixture
def family_named(written: Callable[[str], Path]) -> Callable[[str], Tiny]:
    return lambda name: Tiny(name, written(name), BUILDS[name])


@pytest.fixture
def builds() -> dict[str, Build]:
    return BUILDS
