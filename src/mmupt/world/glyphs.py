"""Letters and digits of the larger pictures: five columns, seven rows, drawn dot by dot, so that no font is needed."""

from __future__ import annotations

from PIL import ImageDraw

from mmupt.world.draw import DIGITS, RGB

WIDTH, HEIGHT, GAP = 5, 7, 1
"""Dots of a glyph, and between two of them."""

_LETTERS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "e": "00000 00000 01110 10001 11111 10000 01110",
    "h": "10000 10000 11110 10001 10001 10001 10001",
    "o": "00000 00000 01110 10001 10001 10001 01110",
    "r": "00000 00000 10110 11001 10000 10000 10000",
    "u": "00000 00000 10001 10001 10001 10011 01101",
}
GLYPHS = {**_LETTERS, **{str(digit): rows for digit, rows in DIGITS.items()}}


def text_size(text: str, dot: int) -> tuple[int, int]:
    """Width and height in pixels, with dots of that many pixels a side."""
    return (len(text) * (WIDTH + GAP) - GAP) * dot, HEIGHT * dot


def write(pen: ImageDraw.ImageDraw, text: str, middle: tuple[float, float], dot: int, ink: RGB) -> None:
    """Write around a middle point, in pixels of the canvas; every glyph must be one of those above."""
    width, height = text_size(text, dot)
    left, top = round(middle[0] - width / 2), round(middle[1] - height / 2)
    for index, glyph in enumerate(text):
        for row, bits in enumerate(GLYPHS[glyph].split()):
            for column, bit in enumerate(bits):
                if bit == "1":
                    x, y = left + (index * (WIDTH + GAP) + column) * dot, top + row * dot
                    pen.rectangle((x, y, x + dot - 1, y + dot - 1), fill=ink)
