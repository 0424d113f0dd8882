"""Which pictures are the same, or nearly: a fingerprint of what one sees, not of the file.

The difference hash (dHash, N. Krawetz, "Kind of Like That", 2013): the picture in grey at 17 x 16, one bit for each
pair of neighbours, whether it gets brighter to the right. 256 bits, so that drawings on white paper keep apart better
than with the usual 64; and as much of a drawing is blank all the same, what is near by its bits is looked at once more,
in colour, at 32 x 32 pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmupt.data.images import open_image
from mmupt.types import ImageSource

NEAR_BITS = 28
"""Of 256. Drawings scaled by a half and saved as JPEG at quality 60 to 95 changed up to 28; of 250 pictures of
MATH-Vision no two different ones were nearer than 31."""
NEAR_COLOUR = 7.0
"""Mean difference of the small pictures, of 255: up to 6 between those copies, 9 and more between those pictures."""
_ROWS_AT_ONCE = 512
_BITS_SET = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`exact` names the pixels; `bits` u8[32] is the difference hash; `small` u8[32, 32, 3] the picture."""

    exact: bytes
    bits: NDArray[np.uint8] = field(repr=False)
    small: NDArray[np.uint8] = field(repr=False)


def fingerprint(source: ImageSource) -> Fingerprint:
    """Raises DataError for a picture that cannot be opened."""
    image = open_image(source)
    exact = hashlib.blake2b(repr(image.size).encode() + image.tobytes(), digest_size=16).digest()
    grey = image.convert("L")
    pixels = np.asarray(grey.resize((17, 16), Image.Resampling.LANCZOS), dtype=np.int16)
    brighter = pixels[:, 1:] > pixels[:, :-1]
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.uint8)
    return Fingerprint(exact, np.packbits(brighter.reshape(-1)), small)


def near(a: Sequence[Fingerprint], b: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs (index in a, index in b) of pictures that look alike, those of equal pixels among them."""
    if not a or not b:
        return []
    bits_a, bits_b = (np.stack([f.bits for f in part]) for part in (a, b))
    found = []
    for start in range(0, len(a), _ROWS_AT_ONCE):
        part = bits_a[start : start + _ROWS_AT_ONCE]
        distance = np.zeros((len(part), len(b)), dtype=np.uint16)
        for byte in range(part.shape[1]):
            distance += _BITS_SET[part[:, byte, None] ^ bits_b[None, :, byte]]
        for i, j in np.argwhere(distance <= NEAR_BITS):
            one, other = a[start + int(i)], b[int(j)]
            colour = np.abs(one.small.astype(np.int16) - other.small.astype(np.int16)).mean()
            if one.exact == other.exact or colour <= NEAR_COLOUR:
                found.append((start + int(i), int(j)))
    return found
