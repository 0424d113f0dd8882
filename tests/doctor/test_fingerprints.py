"""Pictures that are the same to the eye are near; others are not, however alike their paper."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmupt.data.images import encode_png
from mmupt.doctor.fingerprints import NEAR_BITS, Fingerprint, fingerprint, near
from mmupt.types import ImageSource


def drawing(seed: int, size: int = 160) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        points = [tuple(int(v) for v in rng.integers(0, size, 2)) for _ in range(3)]
        draw.polygon(points, outline="black", width=2)
    return image


def photo(seed: int, size: int = 160) -> Image.Image:
    """Smooth light and noise, as a photo has them."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def of(image: Image.Image) -> Fingerprint:
    return fingerprint(ImageSource(data=encode_png(image)))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("make", [drawing, photo])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_copy_goes_through_stays_near(make: type, seed: int) -> None:
    image = make(seed)
    original = of(image)
    changed = {
        "half": image.resize((80, 80), Image.Resampling.LANCZOS),
        "jpeg": jpeg(image, 60),
        "both": jpeg(image.resize((90, 90)), 75),
    }
    for name, other in changed.items():
        copy = of(other)
        assert near([original], [copy]) == [(0, 0)], (name, int(np.unpackbits(original.bits ^ copy.bits).sum()))
        assert copy.exact != original.exact
    assert of(image.copy()).exact == original.exact


@pytest.mark.parametrize("make", [drawing, photo])
def test_other_pictures_are_far(make: type) -> None:
    prints = [of(make(seed)) for seed in range(40)]
    assert near(prints, prints) == [(k, k) for k in range(40)]


def test_blank_paper_is_like_blank_paper_alone() -> None:
    white, grey = (of(Image.new("RGB", (50, 50), colour)) for colour in ("white", "grey"))
    drawn = of(drawing(1))
    assert near([white], [grey, drawn, white]) == [(0, 2)]


def test_near_is_what_a_slow_search_finds() -> None:
    """Random bits around a few centres, against a loop over pairs."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (5, 32), dtype=np.uint8)
    small = np.zeros((32, 32, 3), dtype=np.uint8)

    def some(n: int) -> list[Fingerprint]:
        found = []
        for k in range(n):
            flips = np.zeros(256, dtype=np.uint8)
            flips[rng.choice(256, rng.integers(0, 32), replace=False)] = 1
            found.append(Fingerprint(bytes([k % 256]), centres[rng.integers(5)] ^ np.packbits(flips), small))
        return found

    a, b = some(700), some(30)
    slow = [
        (i, j)
        for i, one in enumerate(a)
        for j, other in enumerate(b)
        if sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(one.bits, other.bits, strict=True)) <= NEAR_BITS
    ]
    assert sorted(near(a, b)) == slow and slow
    assert near([], b) == near(a, []) == []
