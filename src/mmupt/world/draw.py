"""Drawing: colors, the 28-pixel cell, digits, PNG bytes. Cells are drawn once and pasted ever after.

No font is used, so that a picture has the same pixels on every machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw

CELL = 28
"""Side of a cell in pixels: what one merged image token of Qwen2.5-VL sees (2x2 patches of 14x14)."""

FINE = 4
"""Cells are drawn this many times larger and averaged down, for smooth edges."""

RGB = tuple[int, int, int]

WHITE: RGB = (255, 255, 255)
BLACK: RGB = (20, 20, 20)
GRAY: RGB = (205, 205, 205)
COLORS: dict[str, RGB] = {
    "red": (225, 20, 20),
    "blue": (20, 60, 235),
    "green": (20, 160, 50),
    "yellow": (250, 200, 0),
}

DIGITS = {  # five columns, seven rows
    0: "01110 10001 10001 10001 10001 10001 01110",
    1: "00100 01100 00100 00100 00100 00100 01110",
    2: "01110 10001 00001 00110 01000 10000 11111",
    3: "01110 10001 00001 00110 00001 10001 01110",
    4: "00010 00110 01010 10010 11111 00010 00010",
    5: "11111 10000 11110 00001 00001 10001 01110",
    6: "01110 10000 10000 11110 10001 10001 01110",
    7: "11111 00001 00010 00100 00100 01000 01000",
    8: "01110 10001 10001 01110 10001 10001 01110",
    9: "01110 10001 10001 01111 00001 00001 01110",
}


def fine_picture(width: int, height: int, paint: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
    """Let `paint` draw on a white canvas FINE times as large as `width` x `height` pixels, and average it down."""
    canvas = Image.new("RGB", (width * FINE, height * FINE), WHITE)
    paint(ImageDraw.Draw(canvas))
    return canvas.reduce(FINE)


def grid(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    """Cells side by side in reading order, `columns` to a row."""
    picture = Image.new("RGB", (columns * CELL, -(-len(cells) // columns) * CELL), WHITE)
    for index, cell in enumerate(cells):
        picture.paste(cell, (index % columns * CELL, index // columns * CELL))
    return picture


@lru_cache(maxsize=16)
def digit_cell(digit: int) -> Image.Image:
    """A digit, black, 15 x 21 pixels, in the middle of a framed cell."""
    cell = Image.new("RGB", (CELL, CELL), WHITE)
    pen = ImageDraw.Draw(cell)
    pen.rectangle((0, 0, CELL - 1, CELL - 1), outline=GRAY)
    for row, bits in enumerate(DIGITS[digit].split()):
        for column, bit in enumerate(bits):
            if bit == "1":
                x, y = 6 + 3 * column, 4 + 3 * row
                pen.rectangle((x, y, x + 2, y + 2), fill=BLACK)
    return cell


def png_bytes(picture: Image.Image) -> bytes:
    """Encode without working hard at it: the pictures are tiny, and thousands are drawn at the start of a run."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
