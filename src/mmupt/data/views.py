"""Other views of a picture that leave its answer as it is: what co-rewarding asks about a second time.

A view has the size of its picture, so that a prompt with a view is as long as the prompt with the picture. It is drawn
by a seed and is the same for the same seed (and the same versions of Pillow and numpy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageEnhance

from mmupt.data.images import encode_png, open_image
from mmupt.runtime.seeds import derive_seed
from mmupt.types import ImageSource

_KEPT = (0.9, 0.98)
"""Share of each side that a crop keeps."""
_DEGREES = (1.0, 5.0)
"""How far a square turns, either way. A longer picture turns less, so that its contents shrink by a twelfth at most."""
_HUE = (3.0, 8.0)
"""Steps of 256 around the colour wheel, either way: red stays red."""
_STRENGTH = (0.8, 1.2)
"""Factor of brightness, contrast and saturation."""
_SMALLER = (0.5, 0.8)
"""Share of each side before a picture is scaled up again."""
_SIGMA = (3.0, 12.0)
"""Standard deviation of the noise, of 255."""


def viewed(source: ImageSource, names: Sequence[str], seed: int) -> ImageSource:
    """The picture with the views `names` applied one after another, as PNG bytes. DataError as `open_image`."""
    image = open_image(source)
    for place, name in enumerate(names):
        image = view(image, name, derive_seed(seed, place, name))
    return ImageSource(data=encode_png(image, effort=1))  # it is read once and thrown away


def view(image: Image.Image, name: str, seed: int) -> Image.Image:
    """One view of an RGB picture, of its size: "crop" (the middle or somewhere beside it, scaled up again), "rotate"
    (some degrees, white behind it), "recolour" (hue, saturation, brightness, contrast), "rescale" (down and up again),
    "noise" (Gaussian, each pixel and channel by itself). KeyError on another name."""
    return VIEWS[name](image, np.random.Generator(np.random.Philox(key=seed)))


def _crop(image: Image.Image, rng: Generator) -> Image.Image:
    """Both sides keep the same share, so that nothing is stretched."""
    width, height = image.size
    kept = rng.uniform(*_KEPT)
    left, top = rng.random() * (1 - kept) * width, rng.random() * (1 - kept) * height
    box = (left, top, left + kept * width, top + kept * height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def _rotate(image: Image.Image, rng: Generator) -> Image.Image:
    """Turned about its middle and shrunk until its corners are inside: no content is lost."""
    width, height = image.size
    longer = max(width, height) / min(width, height)
    angle = math.radians(_signed(rng, _DEGREES) / longer)
    cosine, sine = math.cos(angle), abs(math.sin(angle))
    shrink = max(cosine + sine * height / width, cosine + sine * width / height)
    # Where a pixel of the view comes from: the rotation about the middle, times the shrinking.
    a, b = shrink * cosine, shrink * math.sin(angle)
    x, y = width / 2, height / 2
    coefficients = (a, b, x - a * x - b * y, -b, a, y + b * x - a * y)
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)
    )


def _recolour(image: Image.Image, rng: Generator) -> Image.Image:
    """White and grey have no hue to turn."""
    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int64) + round(_signed(rng, _HUE))) % 256
    image = Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        image = enhance(image).enhance(rng.uniform(*_STRENGTH))
    return image


def _rescale(image: Image.Image, rng: Generator) -> Image.Image:
    share = rng.uniform(*_SMALLER)
    small = tuple(max(1, round(share * side)) for side in image.size)
    return image.resize((small[0], small[1]), Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.BICUBIC)


def _noise(image: Image.Image, rng: Generator) -> Image.Image:
    pixels = np.asarray(image).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(*_SIGMA))
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def _signed(rng: Generator, bounds: tuple[float, float]) -> float:
    """A size within `bounds`, either way: a view that is the picture itself would be none."""
    return float(rng.uniform(*bounds) * rng.choice((-1.0, 1.0)))


VIEWS: Mapping[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "crop": _crop,
    "rotate": _rotate,
    "recolour": _recolour,
    "rescale": _rescale,
    "noise": _noise,
}
"""The views of a picture by name."""
