"""What is specific to a model architecture, and nothing else.

A family turns a prompt into token ids, positions and an opaque dict of vision tensors, and runs the model on
packed rows. Everybody above handles `EncodedPrompt` and `PackedBatch` without knowing what a picture looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from PIL.Image import Image
from torch import Tensor, nn

from mmupt.types import EncodedPrompt


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """Bounds on the area a picture is resized into, in pixels."""

    smallest: int
    largest: int


class Family(Protocol):
    """One architecture. Built by `load(path)`; tokenizer and picture processor live inside."""

    tokenizer: Any
    end_ids: frozenset[int]
    """Sampling stops behind one of these."""
    banned_ids: tuple[int, ...]
    """Never sampled: picture placeholders, other non-text ids, and ids behind the tokenizer's last one."""
    parts: ClassVar[Mapping[str, tuple[str, ...]]]
    """Parameter-name prefixes of "vision", "projector" and "language", for freezing."""

    def encode(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[Image], limits: PixelLimits
    ) -> EncodedPrompt:
        """Chat messages (text and image parts) to what the model reads. DataError where text and pictures disagree."""
        ...

    def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]], limits: PixelLimits
    ) -> int:
        """P, as `encode` would find it, from the (width, height) of each picture."""
        ...

    def merge_vision(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The vision tensors of several prompts, in order, as one dict."""
        ...

    def hidden(
        self,
        model: nn.Module,
        input_ids_BL: Tensor,
        positions_3BL: Tensor,
        mask: Tensor,
        vision: Mapping[str, Tensor],
        cache: Any | None = None,
    ) -> Tensor:
        """Last hidden states [B, L, D]. `mask` is bool [B, 1, L, S], True where a position may look; with `cache` the
        keys and values of L positions are appended to it."""
        ...

    def head(self, model: nn.Module) -> nn.Module:
        """The LM head: hidden [.., D] to logits [.., V]."""
        ...

    def save(self, folder: str) -> None:
        """Tokenizer, chat template and picture processor into a Hugging Face folder."""
        ...
