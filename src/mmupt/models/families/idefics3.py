"""Idefics3 and SmolVLM (arXiv 2408.12637, 2504.05299): a picture is cut into a grid of tiles, each announced by its row
and column in the text, with the whole picture behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor, nn

from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core, picture_key, side_of, split_tiles, tiles_of
from mmupt.models.families.files import Beside, pil_processor
from mmupt.types import Picture

_PROCESSORS = {
    "idefics3": ("idefics3.image_processing_pil_idefics3", "Idefics3ImageProcessorPil"),
    "smolvlm": ("smolvlm.image_processing_pil_smolvlm", "SmolVLMImageProcessorPil"),
}


class Idefics3(ChatFamily):
    """`PixelLimits.largest` bounds the grid: the picture is scaled to as many whole tiles along its longer side as let
    the grid fit in, and one at least. The tower reads tiles of one size, so `smallest` means nothing here."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.vision_model.",),
        "projector": ("model.connector.",),
        "language": ("model.text_model.", "lm_head."),
    }
    image_token = "<image>"
    never_sampled = ("<image>", "<fake_token_around_image>", "<global-img>", "<row_", "<|im_start|>")
    ends = ("<end_of_utterance>",)
    language_name = "text_model"

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        super().__init__(config, tokenizer, image_processor, beside)
        patches = side_of(config.vision_config, "image_size") // side_of(config.vision_config, "patch_size")
        self.tile_tokens = patches**2 // config.scale_factor**2
        self._spells = config.model_type == "smolvlm"
        self.tile = int(image_processor.max_image_size["longest_edge"])

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        processor = pil_processor("Idefics3 and SmolVLM", *_PROCESSORS[config.model_type])
        return processor.from_pretrained(path, revision=revision)

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        edge, rows, columns = self._cut(image.width, image.height, limits)
        made = self.image_processor(
            images=[image], size={"longest_edge": edge}, return_row_col_info=True, return_tensors="pt"
        )
        assert (made["rows"], made["cols"]) == ([[rows]], [[columns]])
        tensors = {"pixel_values": made["pixel_values"][0], "grid": torch.tensor([rows, columns])}
        return Picture(picture_key(image, edge), tensors)

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        seen = core(model).get_image_features(tiles_of(model, pictures)[None])
        return split_tiles(seen.pooler_output, pictures)

    @property
    def not_in_vllm(self) -> str | None:
        if self._spells and find_spec("num2words") is None:
            return "vLLM starts SmolVLM's processor, which needs one more package, num2words: pip install num2words"
        return None

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        tiles = picture.tensors["pixel_values"]
        whole = torch.ones(len(tiles), *tiles.shape[-2:], dtype=torch.bool)  # no tile is padded
        return {"pixel_values": tiles, "pixel_attention_mask": whole, "num_patches": torch.tensor([len(tiles)])}

    def _layout(self, picture: Picture) -> Layout:
        rows, columns = picture.tensors["grid"].tolist()
        return self._of_grid(rows, columns)

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        return [self._of_grid(*self._cut(width, height, limits)[1:]) for width, height in sizes]

    def _of_grid(self, rows: int, columns: int) -> Layout:
        lines = (
            "".join(f"<fake_token_around_image><row_{r}_col_{c}><image>" for c in range(1, columns + 1)) + "\n"
            for r in range(1, rows + 1)
        )
        text = "".join(lines) + ("\n" if rows else "")
        text += "<fake_token_around_image><global-img><image><fake_token_around_image>"
        return Layout(text, (self.tile_tokens,) * (rows * columns + 1))

    def _cut(self, width: int, height: int, limits: PixelLimits) -> tuple[int, int, int]:
        """The longer side in pixels, rows and columns; 0 and 0 where the whole picture is the one tile."""
        whole = int(self.image_processor.size["longest_edge"])
        if not self.image_processor.do_image_splitting:
            return whole, 0, 0
        for edge in (whole, *range(whole // self.tile * self.tile, self.tile, -self.tile)):
            rows, columns = self._grid(width, height, edge)
            if rows * columns * self.tile**2 <= limits.largest:
                return edge, rows, columns
        return self.tile, *self._grid(width, height, self.tile)

    def _grid(self, width: int, height: int, edge: int) -> tuple[int, int]:
        """What transformers' processor cuts the picture into when its longer side is scaled to `edge`."""
        from transformers.models.idefics3 import image_processing_pil_idefics3 as idefics3

        height, width = idefics3._resize_output_size_rescale_to_max_len(height, width, max_len=edge)
        height, width = idefics3._resize_output_size_scale_below_upper_bound(
            height, width, max_len=idefics3.MAX_IMAGE_SIZE
        )
        shape = width / height
        if width >= height:
            columns = ceil(width / self.tile)
            rows = ceil(int(columns * self.tile / shape) / self.tile)
        else:
            rows = ceil(height / self.tile)
            columns = ceil(int(rows * self.tile * shape) / self.tile)
        return (rows, columns) if rows > 1 or columns > 1 else (0, 0)
