"""InternVL3 in transformers' layout (repositories that end in -hf): a picture is cut into square tiles, in the grid
whose shape is nearest to its own, with the whole picture as one more tile behind them (arXiv 2404.16821, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor, nn

from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core, picture_key, side_of, split_tiles, tiles_of
from mmupt.models.families.files import Beside, pil_processor
from mmupt.types import Picture


class InternVL(ChatFamily):
    """`PixelLimits.largest` bounds the grid: no more tiles than fit into it, and one at least. The tower reads tiles of
    one size, so `smallest` means nothing here."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.vision_tower.",),
        "projector": ("model.multi_modal_projector.",),
        "language": ("model.language_model.", "lm_head."),
    }
    image_token = "<IMG_CONTEXT>"
    never_sampled = ("<IMG_CONTEXT>", "<img>", "</img>", "<video>", "<|im_start|>")

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        super().__init__(config, tokenizer, image_processor, beside)
        self.tile = side_of(config.vision_config, "image_size")
        patches = self.tile // side_of(config.vision_config, "patch_size")
        self.tile_tokens = int(patches * config.downsample_ratio) ** 2

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        processor = pil_processor("InternVL", "got_ocr2.image_processing_pil_got_ocr2", "GotOcr2ImageProcessorPil")
        return processor.from_pretrained(path, revision=revision)

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        cut = self._cut(limits)
        made = self.image_processor(images=[image], return_tensors="pt", **cut)
        return Picture(picture_key(image, sorted(cut.items())), {"pixel_values": made["pixel_values"]})

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        seen = core(model).get_image_features(tiles_of(model, pictures))
        return split_tiles(seen.pooler_output, pictures)

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        tiles = picture.tensors["pixel_values"]
        return {
            "pixel_values": tiles,
            "image_num_patches": torch.tensor([len(tiles)]),
            "image_token_id": torch.tensor(self.image_id),
        }

    def _layout(self, picture: Picture) -> Layout:
        return self._of_tiles(len(picture.tensors["pixel_values"]))

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        count = self.image_processor.get_number_of_image_patches
        return [self._of_tiles(count(height, width, self._cut(limits))) for width, height in sizes]

    def _of_tiles(self, tiles: int) -> Layout:
        return Layout("<img><IMG_CONTEXT></img>", (tiles * self.tile_tokens,))

    def _cut(self, limits: PixelLimits) -> dict[str, Any]:
        most = max(1, min(self.image_processor.max_patches, limits.largest // self.tile**2))
        fewest = min(self.image_processor.min_patches, most)
        return {"crop_to_patches": True, "min_patches": fewest, "max_patches": most}
