"""What is specific to a model architecture, and nothing else.

A family turns a prompt into token ids, positions and opaque pictures, and runs the model on packed rows. Everybody
above handles `EncodedPrompt` and `PackedBatch` without knowing what a picture looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from PIL.Image import Image
from torch import Tensor, nn

from mmupt.algo.attention.base import Attention
from mmupt.types import EncodedPrompt, Picture


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
    turn_end: int
    """The one of them that closes a turn in the chat template: what a worked answer ends with."""
    banned_ids: tuple[int, ...]
    """Never sampled: picture placeholders, other non-text ids, and ids behind the tokenizer's last one."""
    windows: tuple[int, ...]
    """Sizes of the language model's sliding windows; none where every layer sees everything before it."""
    blocks: ClassVar[bool]
    """Whether a picture's tokens see each other both ways."""
    parts: ClassVar[Mapping[str, tuple[str, ...]]]
    """Parameter-name prefixes of "vision", "projector" and "language", for freezing."""

    @classmethod
    def load(cls, path: str, config: Any, revision: str | None = None) -> Self:
        """From a Hugging Face folder or id and its configuration. ModelError where they do not belong together or hold
        what packed rows do not compute."""
        ...

    @property
    def not_in_vllm(self) -> str | None:
        """Why vLLM cannot serve it, None where it can."""
        ...

    def prepare(self, model: nn.Module) -> None:
        """Once behind loading: what makes the model faster and changes nothing that it computes."""
        ...

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        """An RGB image, resized into `limits` and cut up as the vision tower reads it."""
        ...

    def encode(self, messages: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> EncodedPrompt:
        """Chat messages (text and image parts) to what the model reads, with one picture for each image part, in
        order. DataError where text and pictures disagree."""
        ...

    def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]], limits: PixelLimits
    ) -> int:
        """P, as `encode` would find it, from the (width, height) of each image."""
        ...

    def placeholders(self, encoded: EncodedPrompt) -> list[Tensor]:
        """Where in the prompt the features of each picture stand in, i64[its image tokens], rising."""
        ...

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        """What vLLM's model takes for this picture alone, under the names of vLLM's own processor for it."""
        ...

    def vllm_name(self, name: str) -> str:
        """What vLLM calls a weight that is called `name` in memory. As a rule the same; transformers renames some when
        it writes files, and vLLM knows those."""
        ...

    def vllm_processing(self, largest: int) -> dict[str, Any]:
        """Settings of vLLM's processor, which sees none of our pictures: they bound, by pixels, those that vLLM makes
        up to find out how much memory pictures take."""
        ...

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        """What the vision tower makes of each picture, [image tokens, D], in one pass over all of them. D may be larger
        than the model's hidden size: only `hidden` reads it."""
        ...

    def hidden(
        self,
        model: nn.Module,
        input_ids_L: Tensor,
        positions_3L: Tensor,
        attention: Attention,
        features_ND: Tensor | None,
    ) -> Tensor:
        """Last hidden states [L, D] of one row. `attention` knows who sees whom; `features_ND` stand in for the N
        picture placeholders of the row, in order (None where there are none). On the model's device."""
        ...

    def head(self, model: nn.Module) -> nn.Module:
        """The LM head: hidden [.., D] to logits [.., V]."""
        ...

    def layers(self, model: nn.Module) -> list[nn.Module]:
        """Modules that a forward calls once each, if it has a picture, and that hold most of the weights: the layers
        of the language model, and those of the vision tower where it is known to be one stack."""
        ...

    def save(self, folder: str) -> None:
        """Tokenizer, chat template and all that other tools need to process pictures, into a Hugging Face folder."""
        ...
