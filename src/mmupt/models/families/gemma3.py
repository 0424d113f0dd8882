"""Gemma 3 with pictures (arXiv 2503.19786): one square of soft tokens a picture, which see each other both ways; most
layers look back through a sliding window only, and rotate by another base than the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL.Image import Image
from torch import Tensor, nn

from mmupt.errors import ModelError
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core, picture_key, split_tiles, tiles_of
from mmupt.models.families.files import Beside, pil_processor
from mmupt.types import Picture


class Gemma3(ChatFamily):
    """Every picture becomes the same square, so pixel limits mean nothing here. transformers' "pan and scan", crops of
    long pictures, is off as it is by default."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.vision_tower.",),
        "projector": ("model.multi_modal_projector.",),
        "language": ("model.language_model.", "lm_head."),
    }
    image_token = "<image_soft_token>"
    placeholder = "<start_of_image>"
    never_sampled = ("<image_soft_token>", "<start_of_image>", "<end_of_image>", "<start_of_turn>")
    ends = ("<end_of_turn>",)
    blocks = True

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        super().__init__(config, tokenizer, image_processor, beside)
        if image_processor.do_pan_and_scan:
            raise ModelError(
                "do_pan_and_scan is on in preprocessor_config.json, which mmupt does not do; set it to false"
            )
        self._one = Layout(
            "\n\n<start_of_image><image_soft_token><end_of_image>\n\n", (int(config.mm_tokens_per_image),)
        )

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        processor = pil_processor("Gemma 3", "gemma3.image_processing_pil_gemma3", "Gemma3ImageProcessorPil")
        return processor.from_pretrained(path, revision=revision)

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        made = self.image_processor(images=[image], do_pan_and_scan=False, return_tensors="pt")
        return Picture(picture_key(image), {"pixel_values": made["pixel_values"]})

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        seen = core(model).get_image_features(tiles_of(model, pictures))
        return split_tiles(seen.pooler_output, pictures)

    @property
    def not_in_vllm(self) -> str | None:
        return "tokens of a picture see each other both ways, which vLLM computes on some cards only, and not on a CPU"

    def _layout(self, picture: Picture) -> Layout:
        return self._one

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        return [self._one] * len(sizes)

    def _reserved_tokens(self) -> set[str]:
        """Gemma's added tokens hold newlines and HTML as well, which are text."""
        structure = (*self.never_sampled, *self.ends)
        special = {str(t.content) for t in self.tokenizer.added_tokens_decoder.values() if t.special}
        return special | {token for token in self.tokenizer.get_added_vocab() if token.startswith(structure)}
