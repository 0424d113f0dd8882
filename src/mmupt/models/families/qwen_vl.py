"""Qwen2-VL and Qwen2.5-VL: multimodal rotary positions (three rows: temporal, height, width). The tower of 2.5 attends
within windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor, nn

from mmupt.models.attention import WINDOWS
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core, picture_key
from mmupt.models.families.files import Beside, pil_processor
from mmupt.types import EncodedPrompt, Picture

IMAGE_TOKEN = "<|image_pad|>"
_THIN = 200 * 28**2
"""Pixels of the largest picture that a thin one, of any aspect ratio that is taken, becomes above a lower bound."""


class QwenVL(ChatFamily):
    """One token a merged patch; text behind a picture goes on at the larger side of its grid."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.visual.patch_embed.", "model.visual.blocks."),
        "projector": ("model.visual.merger.",),
        "language": ("model.language_model.", "lm_head."),
    }
    image_token = IMAGE_TOKEN
    video_processor: ClassVar[str] = "Qwen2VLVideoProcessor"
    never_sampled = (
        "<|image_pad|>",
        "<|video_pad|>",
        "<|vision_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|im_start|>",
    )

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        super().__init__(config, tokenizer, image_processor, beside)
        self.merge_size = int(config.vision_config.spatial_merge_size)

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        processor = pil_processor("Qwen-VL", "qwen2_vl.image_processing_pil_qwen2_vl", "Qwen2VLImageProcessorPil")
        return processor.from_pretrained(path, revision=revision)

    def prepare(self, model: nn.Module) -> None:
        tower: Any = core(model).visual
        tower.patch_embed.proj = _PatchProjection(tower.patch_embed.proj.weight, tower.patch_embed.proj.bias)
        tower.config._attn_implementation = WINDOWS  # when asked for in loading, it is looked for on the hub

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        size = {"shortest_edge": limits.smallest, "longest_edge": limits.largest}  # areas, in spite of the names
        made = self.image_processor(images=[image], size=size, return_tensors="pt")
        tensors = {name: made[name] for name in ("pixel_values", "image_grid_thw")}
        return Picture(picture_key(image, tensors["image_grid_thw"].tolist()), tensors)

    @property
    def not_in_vllm(self) -> str | None:
        return (
            "some of its layers have a sliding window, and vLLM wants one in all or in none" if self.windows else None
        )

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        return dict(picture.tensors)

    def vllm_processing(self, largest: int) -> dict[str, Any]:
        return {"size": {"shortest_edge": 1, "longest_edge": max(largest, _THIN)}}

    def layers(self, model: nn.Module) -> list[nn.Module]:
        return [*core(model).visual.blocks, *super().layers(model)]

    def save(self, folder: str) -> None:
        super().save(folder)
        # vLLM, TRL and others read pictures through a processor that has a video part, which mmupt never uses.
        file = Path(folder) / "video_preprocessor_config.json"
        if not file.exists():
            file.write_text(f'{{"video_processor_type": "{self.video_processor}"}}\n', encoding="utf-8")

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        return list(self._seen(model, pictures).pooler_output)

    def _seen(self, model: nn.Module, pictures: Sequence[Picture]) -> Any:
        """The tower's output, with a list of features by picture."""
        device = next(model.parameters()).device
        names = ("pixel_values", "image_grid_thw")
        pixels, grids = (torch.cat([p.tensors[name] for p in pictures]).to(device) for name in names)
        return core(model).get_image_features(pixels, grids)

    def _layout(self, picture: Picture) -> Layout:
        frames, rows, columns = self._merged_grid(picture)
        return Layout(IMAGE_TOKEN, (frames * rows * columns,))

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        side = self.image_processor.patch_size * self.merge_size
        resized = (smart_resize(height, width, side, limits.smallest, limits.largest) for width, height in sizes)
        return [Layout(IMAGE_TOKEN, ((height // side) * (width // side),)) for height, width in resized]

    def _merged_grid(self, picture: Picture) -> tuple[int, int, int]:
        frames, rows, columns = picture.tensors["image_grid_thw"][0].tolist()
        return frames, rows // self.merge_size, columns // self.merge_size

    def _expand(self, ids: Sequence[int], layouts: Sequence[Layout], pictures: Sequence[Picture]) -> EncodedPrompt:
        """Positions as in Qwen2-VL (arXiv 2409.12191, section 2.1): text counts on in all three rows; a picture that
        starts at position s has (s + t, s + h, s + w) and the text behind it goes on at s + max(H, W)."""
        token_ids, runs = self._runs(ids, layouts)
        positions, position, at = [], 0, 0
        for (start, end), grid in zip(runs, map(self._merged_grid, pictures), strict=True):
            positions.append(_text(position, start - at))
            position += start - at
            positions.append(_cube(grid) + position)
            position += max(grid[1:])
            at = end
        positions.append(_text(position, len(token_ids) - at))
        next_position = position + len(token_ids) - at
        return EncodedPrompt(token_ids, torch.cat(positions, dim=1), next_position, tuple(pictures))

    def _position_ids(self, positions_3L: Tensor) -> Tensor:
        return positions_3L[:, None]


class _PatchProjection(nn.Module):
    """The patch embedding is a 3-d convolution whose stride is its kernel, so a matrix product: several times faster as
    one, most of all in the backward pass. The parameters keep their names and shapes."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias

    def forward(self, patches: Tensor) -> Tensor:
        return nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def _text(position: int, length: int) -> Tensor:
    return (torch.arange(length) + position).expand(3, -1)


def _cube(grid: Iterable[int]) -> Tensor:
    """i64[3, T H W]: each cell's place in its grid."""
    axes = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    return torch.stack([axis.reshape(-1) for axis in axes])
