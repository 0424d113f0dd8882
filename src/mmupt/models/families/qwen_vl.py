"""Qwen2.5-VL: windowed vision tower, multimodal rotary positions (three rows: temporal, height, width)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL.Image import Image, fromarray
from torch import Tensor, nn

from mmupt.algo.attention.base import Attention
from mmupt.errors import DataError, ModelError
from mmupt.models.attention import WINDOWS
from mmupt.models.families.base import PixelLimits
from mmupt.types import EncodedPrompt, Picture

IMAGE_TOKEN = "<|image_pad|>"
_VIDEO_PART = '{"video_processor_type": "Qwen2VLVideoProcessor"}\n'
_NO_MASK = {"full_attention": None}
"""Tells transformers that masks are taken care of."""
_NEVER_SAMPLED = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|im_start|>",
)


class QwenVL:
    """Tokenizer and PIL picture processor of a Qwen2.5-VL; needs no torchvision."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.visual.patch_embed.", "model.visual.blocks."),
        "projector": ("model.visual.merger.",),
        "language": ("model.language_model.", "lm_head."),
    }

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any) -> None:
        if tokenizer.chat_template is None:
            raise ModelError(
                "the tokenizer has no chat template; use an instruction-tuned model, or add chat_template.jinja"
            )
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.merge_size = int(config.vision_config.spatial_merge_size)
        self.image_id = int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))
        if self.image_id != config.image_token_id:
            raise ModelError(
                f"model and tokenizer do not belong together: the picture placeholder is id {config.image_token_id} in "
                f"config.json and {self.image_id} in the tokenizer; load both from one folder"
            )
        if len(tokenizer) > config.text_config.vocab_size:
            raise ModelError(
                f"model and tokenizer do not belong together: the tokenizer has {len(tokenizer)} tokens, the model's "
                f"vocabulary {config.text_config.vocab_size}; load both from one folder"
            )
        if set(config.text_config.layer_types) != {"full_attention"}:
            raise ModelError("the model has layers with sliding-window attention, which packed rows do not compute")
        self.end_ids = _end_ids(config, tokenizer)
        self.banned_ids = _banned_ids(config, tokenizer)
        self._reserved = tuple(sorted(tokenizer.get_added_vocab(), key=len, reverse=True))

    @classmethod
    def load(cls, path: str, config: Any, revision: str | None = None) -> QwenVL:
        """From a Hugging Face folder or id."""
        from transformers import AutoTokenizer
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        return cls(config, tokenizer, Qwen2VLImageProcessorPil.from_pretrained(path, revision=revision))

    def prepare(self, model: nn.Module) -> None:
        tower: Any = _core(model).visual
        tower.patch_embed.proj = _PatchProjection(tower.patch_embed.proj.weight)
        tower.config._attn_implementation = WINDOWS  # when asked for in loading, it is looked for on the hub

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        size = {"shortest_edge": limits.smallest, "longest_edge": limits.largest}  # areas, in spite of the names
        made = self.image_processor(images=[image], size=size, return_tensors="pt")
        tensors = {name: made[name] for name in ("pixel_values", "image_grid_thw")}
        # The image and the grid it was resized to settle all the rest, which is eight times as many bytes.
        content = hashlib.blake2b(repr((image.size, tensors["image_grid_thw"].tolist())).encode(), digest_size=16)
        content.update(image.tobytes())
        return Picture(content.hexdigest(), tensors)

    def encode(self, messages: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> EncodedPrompt:
        ids = self._tokenize(messages, len(pictures))
        grids = [tuple(picture.tensors["image_grid_thw"][0].tolist()) for picture in pictures]
        token_ids, positions_3P, next_position = self._expand(ids, grids)
        return EncodedPrompt(token_ids, positions_3P, next_position, tuple(pictures))

    def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]], limits: PixelLimits
    ) -> int:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        side = self.image_processor.patch_size * self.merge_size
        length = len(self._tokenize(messages, len(sizes))) - len(sizes)
        for width, height in sizes:
            new_height, new_width = smart_resize(height, width, side, limits.smallest, limits.largest)
            length += (new_height // side) * (new_width // side)
        return length

    def unexpanded(self, encoded: EncodedPrompt) -> list[int]:
        expanded, ids, at = encoded.token_ids.tolist(), [], 0
        pictures = iter(encoded.pictures)
        while at < len(expanded):
            ids.append(expanded[at])
            at += self._tokens(next(pictures)) if expanded[at] == self.image_id else 1
        return ids

    def image(self, picture: Picture) -> Image:
        processor: Any = self.image_processor
        side, merge = processor.patch_size, self.merge_size
        _, rows, columns = picture.tensors["image_grid_thw"][0].tolist()
        # The processor's own steps backwards: patches, the same frame twice in each; standardised; scaled to 0..1.
        shape = (rows // merge, columns // merge, merge, merge, 3, processor.temporal_patch_size, side, side)
        frames = picture.tensors["pixel_values"].view(shape)[:, :, :, :, :, 0]
        pixels_HWC = frames.permute(0, 2, 5, 1, 3, 6, 4).reshape(rows * side, columns * side, 3)
        pixels_HWC = pixels_HWC * torch.tensor(processor.image_std) + torch.tensor(processor.image_mean)
        whole_HWC = (pixels_HWC / processor.rescale_factor).round().clamp(0, 255).to(torch.uint8)
        return fromarray(whole_HWC.numpy())

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        device = next(model.parameters()).device
        names = ("pixel_values", "image_grid_thw")
        pixels, grids = (torch.cat([p.tensors[name] for p in pictures]).to(device) for name in names)
        return list(_core(model).get_image_features(pixels, grids).pooler_output)  # type: ignore[operator]

    def hidden(
        self,
        model: nn.Module,
        input_ids_L: Tensor,
        positions_3L: Tensor,
        attention: Attention,
        features_ND: Tensor | None,
    ) -> Tensor:
        language: Any = _core(model).language_model
        embedded_LD = language.embed_tokens(input_ids_L)
        if features_ND is not None:
            placeholder_N = (input_ids_L == self.image_id).nonzero()[:, 0]
            embedded_LD = embedded_LD.index_copy(0, placeholder_N, features_ND.to(embedded_LD.dtype))
        output = language(
            inputs_embeds=embedded_LD[None],
            position_ids=positions_3L[:, None],
            attention_mask=_NO_MASK,
            use_cache=False,
            packed=attention,
        )
        return output.last_hidden_state[0]

    def head(self, model: nn.Module) -> nn.Module:
        return model.get_output_embeddings()  # type: ignore[operator]

    def save(self, folder: str) -> None:
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)
        # vLLM, TRL and others read pictures through a processor that has a video part, which mmupt never uses.
        (Path(folder) / "video_preprocessor_config.json").write_text(_VIDEO_PART, encoding="utf-8")

    def _tokens(self, picture: Picture) -> int:
        """How many placeholders stand for it in a prompt."""
        return int(picture.tensors["image_grid_thw"][0].prod()) // self.merge_size**2

    def _tokenize(self, messages: Sequence[Mapping[str, Any]], images: int) -> list[int]:
        """Ids with one placeholder a picture, before it is expanded."""
        self._refuse_reserved(messages)
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if (found := ids.count(self.image_id)) != images:
            raise DataError(f"the chat template made {found} picture placeholders for {images} pictures")
        return ids

    def _expand(self, ids: Sequence[int], grids: Sequence[tuple[int, int, int]]) -> tuple[Tensor, Tensor, int]:
        """Each placeholder becomes one token a merged patch. Positions as in Qwen2-VL (arXiv 2409.12191, section 2.1):
        text counts on in all three rows; a picture that starts at position s has (s + t, s + h, s + w) and the text
        behind it goes on at s + max(H, W)."""
        expanded: list[int] = []
        positions: list[Tensor] = []
        grid = iter(grids)
        position = 0
        for token in ids:
            if token != self.image_id:
                expanded.append(token)
                positions.append(torch.full((3, 1), position))
                position += 1
                continue
            frames, height, width = next(grid)
            height, width = height // self.merge_size, width // self.merge_size
            axes = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
            positions.append(torch.stack([axis.reshape(-1) for axis in axes]) + position)
            expanded.extend([token] * (frames * height * width))
            position += max(height, width)
        return torch.tensor(expanded), torch.cat(positions, dim=1), position

    def _refuse_reserved(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """A reserved token inside a question would be read as chat structure or as a picture."""
        for message in messages:
            parts = message["content"]
            texts = [parts] if isinstance(parts, str) else [part["text"] for part in parts if part["type"] == "text"]
            for text in texts:
                for token in self._reserved:
                    if token in text:
                        raise DataError(f"the text holds {token!r}, which the model reserves; remove it from the row")


class _PatchProjection(nn.Module):
    """The patch embedding is a 3-d convolution whose stride is its kernel, so a matrix product: several times faster as
    one, most of all in the backward pass. The parameter keeps its name and shape."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, patches: Tensor) -> Tensor:
        return nn.functional.linear(patches.flatten(1), self.weight.flatten(1))


def _core(model: nn.Module) -> nn.Module:
    """The module below the LM head, also when a LoRA wrapper stands around the model."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base.model  # type: ignore[return-value]


def _end_ids(config: Any, tokenizer: Any) -> frozenset[int]:
    ends = {tokenizer.eos_token_id}
    for token in ("<|im_end|>", "<|endoftext|>"):
        index = tokenizer.convert_tokens_to_ids(token)
        if index is not None and index != tokenizer.unk_token_id:
            ends.add(index)
    return frozenset(int(end) for end in ends if end is not None)


def _banned_ids(config: Any, tokenizer: Any) -> tuple[int, ...]:
    ids = {tokenizer.convert_tokens_to_ids(token) for token in _NEVER_SAMPLED if token in tokenizer.get_added_vocab()}
    for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        ids.add(getattr(config, name, None))
    ids.update(range(len(tokenizer), config.text_config.vocab_size))  # padding of the embedding matrix: no token at all
    return tuple(sorted(int(i) for i in ids if i is not None))
