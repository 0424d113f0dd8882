"""From a `Prompt` to an `EncodedPrompt`: text rendered, pictures opened, family asked, length checked."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.data.images import open_image, picture_size
from mmupt.data.questions import messages
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.models.families.base import Family, PixelLimits
from mmupt.types import EncodedPrompt, Prompt


class PromptTooLong(DataError):
    """A prompt over `prompt.max_tokens`, which `prompt.too_long` may skip."""


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """Encodes prompts for one family under one `[prompt]` table."""

    family: Family
    settings: PromptSettings

    def __call__(self, prompt: Prompt) -> EncodedPrompt:
        """DataError names the prompt; one that is longer than `prompt.max_tokens` is refused, never cut."""
        try:
            images = [open_image(source) for source in prompt.images]
            encoded = self.family.encode(messages(prompt, self.settings), images, self._limits)
        except DataError as error:
            raise DataError(f"prompt {prompt.id}: {error}") from error
        self._refuse_long(prompt, encoded.length)
        return encoded

    def check_length(self, prompt: Prompt) -> None:
        """Raises what encoding would raise for a prompt that is too long, without decoding a pixel. (A picture that is
        stored on its side has as many tokens.)"""
        sizes = [picture_size(source) for source in prompt.images]
        try:
            length = self.family.count_tokens(messages(prompt, self.settings), sizes, self._limits)
        except DataError as error:
            raise DataError(f"prompt {prompt.id}: {error}") from error
        self._refuse_long(prompt, length)

    @property
    def _limits(self) -> PixelLimits:
        return PixelLimits(self.settings.min_pixels, self.settings.max_pixels)

    def _refuse_long(self, prompt: Prompt, length: int) -> None:
        if length > self.settings.max_tokens:
            raise PromptTooLong(
                f"prompt {prompt.id} has {length} tokens with its pictures, more than prompt.max_tokens = "
                f'{self.settings.max_tokens}; raise it, lower prompt.max_pixels, or set prompt.too_long = "skip"'
            )
