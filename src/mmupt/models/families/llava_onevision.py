"""LLaVA-OneVision (arXiv 2408.03326): a lone picture is read whole and again in tiles, of which the padding is cut off
and each row ends in a newline embedding; each of several pictures in a prompt is one padded square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, ClassVar

import torch
from PIL.Image import Image, Resampling
from torch import Tensor, nn

from mmupt.errors import ModelError
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core, picture_key, side_of, tiles_of
from mmupt.models.families.files import Beside, pil_processor
from mmupt.types import Picture


class LlavaOnevision(ChatFamily):
    """A picture over `PixelLimits.largest` is scaled down before it is cut up; `smallest` means nothing here, because
    the tower reads tiles of one size."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.vision_tower.",),
        "projector": ("model.multi_modal_projector.", "model.image_newline"),
        "language": ("model.language_model.", "lm_head."),
    }
    image_token = "<image>"
    never_sampled = ("<image>", "<video>", "<|im_start|>")

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        super().__init__(config, tokenizer, image_processor, beside)
        if config.vision_feature_select_strategy != "full":
            raise ModelError(
                f'vision_feature_select_strategy = "{config.vision_feature_select_strategy}" in config.json: mmupt '
                'knows "full" only, which every released LLaVA-OneVision has'
            )
        if [*map(list, image_processor.image_grid_pinpoints)] != [*map(list, config.image_grid_pinpoints)]:
            raise ModelError(
                "model and picture processor do not belong together: their image_grid_pinpoints differ; load both "
                "from one folder"
            )
        self.tile = side_of(config.vision_config, "image_size")
        self.tile_tokens = (self.tile // side_of(config.vision_config, "patch_size")) ** 2
        self._rule = _counting_rule(config, image_processor, self.tile_tokens)

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        module = "llava_onevision.image_processing_pil_llava_onevision"
        processor = pil_processor("LLaVA-OneVision", module, "LlavaOnevisionImageProcessorPil")
        return processor.from_pretrained(path, revision=revision)

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        """Both ways of reading it: which one it will be, only the prompt knows."""
        image = image.resize(_within(image.size, limits), Resampling.BICUBIC)
        alone = self.image_processor(images=[image], return_tensors="pt")
        among = self.image_processor(images=[[image, image]], return_tensors="pt")
        tensors = {
            "tiles": alone["pixel_values"][0],
            "square": among["pixel_values"][0],
            "size": alone["image_sizes"],
        }
        return Picture(picture_key(image), tensors)

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        alone = [picture for picture in pictures if picture.key.startswith("alone")]
        among = [picture for picture in pictures if not picture.key.startswith("alone")]
        found: dict[str, Tensor] = {}
        # "Several" is what makes the tower read a picture as one square, also where a single one is left to be read.
        for some, counts in ((alone, [1] * len(alone)), (among, [max(2, len(among))])):
            if some:
                sizes = torch.cat([picture.tensors["image_sizes"] for picture in some])
                seen = core(model).get_image_features(tiles_of(model, some), sizes, batch_num_images=counts)
                found.update({p.key: features for p, features in zip(some, seen.pooler_output, strict=True)})
        return [found[picture.key] for picture in pictures]

    def vllm_name(self, name: str) -> str:
        return name.replace("model.vision_tower.", "model.vision_tower.vision_model.", 1)

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        return {"pixel_values": picture.tensors["pixel_values"][None], "image_sizes": picture.tensors["image_sizes"]}

    def _together(self, pictures: Sequence[Picture]) -> Sequence[Picture]:
        way, pixels = ("alone", "tiles") if len(pictures) == 1 else ("among", "square")
        return [
            Picture(f"{way}-{p.key}", {"pixel_values": p.tensors[pixels], "image_sizes": p.tensors["size"]})
            for p in pictures
        ]

    def _layout(self, picture: Picture) -> Layout:
        height, width = picture.tensors["image_sizes"][0].tolist()
        return self._of_size(width, height, picture.key.startswith("alone"))

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        return [self._of_size(*_within(size, limits), len(sizes) == 1) for size in sizes]

    def _of_size(self, width: int, height: int, alone: bool) -> Layout:
        tokens = self.tile_tokens + 1  # and a newline
        if alone:
            tokens = self._rule._get_number_of_features(height, width, self.tile, self.tile)
        return Layout("<image>", (tokens,))


def _counting_rule(config: Any, image_processor: Any, tile_tokens: int) -> Any:
    """transformers' processor, for its rule of how many features a size has. Making one the usual way takes a video
    processor, which takes torchvision."""
    from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

    rule: Any = object.__new__(LlavaOnevisionProcessor)
    rule.image_processor = image_processor
    rule.num_image_tokens = tile_tokens
    rule.vision_aspect_ratio = config.vision_aspect_ratio
    return rule


def _within(size: tuple[int, int], limits: PixelLimits) -> tuple[int, int]:
    width, height = size
    if width * height <= limits.largest:
        return size
    scale = sqrt(limits.largest / (width * height))
    return max(1, int(width * scale)), max(1, int(height * scale))
