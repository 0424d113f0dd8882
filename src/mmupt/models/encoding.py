"""From a `Prompt` to an `EncodedPrompt`: text rendered, pictures opened, family asked, length checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable
from dataclasses import dataclass, field

from mmupt.data.images import open_image, picture_size
from mmupt.data.questions import messages
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.models.families.base import Family, PixelLimits
from mmupt.runtime.recent import RecentlyUsed
from mmupt.types import EncodedPrompt, ImageSource, Picture, Prompt

PICTURES_KEPT = 2**28
"""Bytes of processed pictures an encoder keeps. A Qwen2.5-VL's take 24 bytes a pixel (three channels, each frame twice,
fp32), so that this is a dozen pictures of a megapixel, or some hundreds of thumbnails."""


class PromptTooLong(DataError):
    """A prompt over `prompt.max_tokens`, which `prompt.too_long` may skip."""


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """Encodes prompts for one family under one `[prompt]` table, in one thread at a time.

    Pictures processed lately are kept, so that several questions about one picture, or another visit soon after, open
    it once. A file that has changed since (its inode, time or size) is read anew.
    """

    family: Family
    settings: PromptSettings
    _pictures: RecentlyUsed[Hashable, Picture] = field(
        default_factory=lambda: RecentlyUsed(PICTURES_KEPT), init=False, repr=False, compare=False
    )

    def __call__(self, prompt: Prompt) -> EncodedPrompt:
        """DataError names the prompt; one that is longer than `prompt.max_tokens` is refused, never cut."""
        try:
            pictures = [self._picture(source) for source in prompt.images]
            encoded = self.family.encode(messages(prompt, self.settings), pictures)
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

    def _picture(self, source: ImageSource) -> Picture:
        key = _content_key(source)
        if key is not None and (kept := self._pictures.get(key)) is not None:
            return kept
        picture = self.family.picture(open_image(source), self._limits)
        if key is not None:
            self._pictures.put(key, picture, sum(tensor.nbytes for tensor in picture.tensors.values()))
        return picture

    def _refuse_long(self, prompt: Prompt, length: int) -> None:
        if length > self.settings.max_tokens:
            raise PromptTooLong(
                f"prompt {prompt.id} has {length} tokens with its pictures, more than prompt.max_tokens = "
                f'{self.settings.max_tokens}; raise it, lower prompt.max_pixels, or set prompt.too_long = "skip"'
            )


def _content_key(source: ImageSource) -> Hashable | None:
    """The same for the same picture, without opening it; None where `open_image` will say what is wrong."""
    if source.data is not None:
        return hashlib.blake2b(source.data, digest_size=16).digest()
    try:
        found = os.stat(source.path or "")
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return source.path, found.st_ino, found.st_mtime_ns, found.st_size
