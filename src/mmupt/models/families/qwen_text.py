"""Qwen2.5 and Qwen3 without pictures: a language model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL.Image import Image
from torch import Tensor, nn

from mmupt.errors import DataError
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.chat import ChatFamily, Layout, core
from mmupt.types import Picture


class QwenText(ChatFamily):
    """A row with a picture is refused, not answered without it."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": (),
        "projector": (),
        "language": ("model.", "lm_head."),
    }
    never_sampled = (
        "<|image_pad|>",
        "<|video_pad|>",
        "<|vision_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|im_start|>",
    )

    @property
    def not_in_vllm(self) -> str | None:
        return (
            "some of its layers have a sliding window, and vLLM wants one in all or in none" if self.windows else None
        )

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        return None

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        raise _no_pictures()

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        raise _no_pictures()

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        raise _no_pictures()

    def _tokenize(self, messages: Sequence[Mapping[str, Any]], layouts: Sequence[Layout]) -> list[int]:
        """The chat templates of text models want a message's text as one string."""
        return super()._tokenize([{**m, "content": _joined(m["content"])} for m in messages], layouts)

    def _language(self, model: nn.Module) -> Any:
        return core(model)


def _joined(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        raise _no_pictures()
    return "".join(part["text"] for part in content)


def _no_pictures() -> DataError:
    return DataError("the model reads text alone and the row has a picture; use a vision-language model")
