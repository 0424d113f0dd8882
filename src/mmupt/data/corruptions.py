"""Pictures that no longer show what they showed: what a rejected description is made from (STIC, arXiv 2405.19716).

The opposite of `views.py`, whose changes leave the answer as it is. A corrupted picture has the size of its picture, so
that a prompt with it is as long. It is drawn by a seed and is the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageEnhance

from mmupt.data.images import encode_png, open_image
from mmupt.types import ImageSource

_SHORT_SIDE = 20
"""Pixels of the shorter side of a picture in low resolution, as the authors' code has it."""
_BRIGHTNESS = 0.5
_HUE = 0.3
"""How far brightness (a factor around 1) and hue (a share of the colour wheel) go either way, as in their code."""


def corrupted(source: ImageSource, name: str, seed: int) -> ImageSource:
    """The picture corrupted in the way `name`, as PNG bytes. DataError as `open_image`, KeyError on another name."""
    image = CORRUPTIONS[name](open_image(source), np.random.Generator(np.random.Philox(key=seed)))
    return ImageSource(data=encode_png(image, effort=1))  # it is read once and thrown away


def _low_resolution(image: Image.Image, rng: Generator) -> Image.Image:
    """Down to a shorter side of 20 pixels, and up again. A picture no larger than that is halved instead."""
    share = min(_SHORT_SIDE / min(image.size), 0.5)
    small = (max(1, round(share * image.width)), max(1, round(share * image.height)))
    return image.resize(small, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


def _colour_jitter(image: Image.Image, rng: Generator) -> Image.Image:
    """Brightness times a factor in [0.5, 1.5], every hue turned by up to 0.3 of the wheel."""
    bright = ImageEnhance.Brightness(image).enhance(rng.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS))
    hue, saturation, value = bright.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int64) + round(rng.uniform(-_HUE, _HUE) * 256)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")


CORRUPTIONS: Mapping[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "low_resolution": _low_resolution,
    "colour_jitter": _colour_jitter,
}
"""The ways to corrupt a picture by name."""
