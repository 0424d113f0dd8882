"""The pictures can be read back from their pixels by readers that know nothing of how they were drawn."""

from __future__ import annotations

import io
import math
from itertools import product
from random import Random

import numpy as np
import pytest
from PIL import Image

from mmupt.world.checker import scene_from_key
from mmupt.world.draw import digit_cell, png_bytes
from mmupt.world.kinds import KINDS

PAINT = {"red": (225, 20, 20), "blue": (20, 60, 235), "green": (20, 160, 50), "yellow": (250, 200, 0)}


def nearest_color(pixel) -> str:
    return min(PAINT, key=lambda name: sum((int(a) - b) ** 2 for a, b in zip(pixel, PAINT[name], strict=True)))


def islands(mask: np.ndarray) -> int:
    """How many 4-connected areas of True there are."""
    left, count = {(int(y), int(x)) for y, x in np.argwhere(mask)}, 0
    while left:
        count += 1
        front = [left.pop()]
        while front:
            y, x = front.pop()
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    front.append(near)
    return count


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB")).astype(int)


def cells(picture: Image.Image) -> list[np.ndarray]:
    array = pixels(picture)
    assert array.shape == (56, 56, 3)
    return [array[y : y + 28, x : x + 28] for y in (0, 28) for x in (0, 28)]


def read_die(cell: np.ndarray) -> tuple[str, int]:
    inside = cell[3:-3, 3:-3]
    white = inside.min(axis=2) > 140
    return nearest_color(inside[~white].mean(axis=0)), islands(white)


def test_every_die_can_be_read_in_every_place():
    for face, color in product(range(1, 7), ("red", "blue")):
        for place in range(4):
            entries = ["red1", "blue6", "red4", "blue3"]
            entries[place] = f"{color}{face}"
            read = [read_die(cell) for cell in cells(scene_from_key("dice:" + ",".join(entries)).draw())]
            assert [f"{c}{f}" for c, f in read] == entries


def test_a_die_is_full_of_its_color():
    for cell in cells(scene_from_key("dice:red1,blue1,red6,blue6").draw()):
        colored = (cell.max(axis=2) - cell.min(axis=2)) > 100
        assert colored.mean() > 0.55


def test_shapes_can_be_read():
    rng = Random(0)
    for _ in range(60):
        scene = KINDS["shapes"].scene.random(rng)
        read = []
        for cell in cells(scene.draw()):
            mask = (cell.max(axis=2) - cell.min(axis=2)) > 100
            height, width = np.ptp(np.argwhere(mask), axis=0) + 1
            fill = mask.sum() / (height * width)
            shape = "square" if fill > 0.95 else "circle" if fill > 0.65 else "triangle"
            read.append(f"{nearest_color(cell[mask].mean(axis=0))}-{shape}")
        assert ",".join(read) == scene.contents()


def test_bars_can_be_read():
    rng = Random(1)
    for _ in range(100):
        scene = KINDS["bars"].scene.random(rng)
        array = pixels(scene.draw())
        assert array.shape[0] == 56 and array.shape[1] in (56, 84, 112)
        read = []
        for left in range(0, array.shape[1], 28):
            column = array[:, left + 14]
            colored = (column.max(axis=1) - column.min(axis=1)) > 100
            read.append(f"{nearest_color(column[colored].mean(axis=0))}{round(colored.sum() / 6)}")
        assert ",".join(read) == scene.contents()


def test_digits_are_distinct_and_have_the_right_holes():
    masks = [pixels(digit_cell(digit)).max(axis=2)[2:-2, 2:-2] < 100 for digit in range(10)]
    for a, b in product(range(10), repeat=2):
        assert a == b or (masks[a] ^ masks[b]).sum() >= 9  # one dot of the glyph is nine pixels
    assert [islands(~mask) - 1 for mask in masks] == [1, 0, 0, 0, 1, 0, 1, 0, 2, 1]


def test_tables_show_their_digits_in_reading_order():
    for cell, digit in zip(cells(scene_from_key("table:7,0,8,4").draw()), (7, 0, 8, 4), strict=True):
        assert np.array_equal(cell, pixels(digit_cell(digit)))


def test_clocks_can_be_read():
    """The minute hand alone reaches far out, the hour hand is found where the minute hand is not."""
    rng = Random(2)
    for _ in range(150):
        scene = KINDS["clock"].scene.random(rng)
        array = pixels(scene.draw())

        def at(minutes: float, radius: float, array=array) -> np.ndarray:
            angle = 2 * math.pi * minutes / 60
            return array[int(28 - radius * math.cos(angle)), int(28 + radius * math.sin(angle))]

        def saturation(pixel: np.ndarray) -> int:
            return int(pixel.max() - pixel.min())

        minute = max((0, 15, 30, 45), key=lambda m: saturation(at(m, 15.5)))
        hour = max(range(12), key=lambda h: saturation(at((h + minute / 60) * 5, 9)) - 300 * on_minute(h, minute))
        if on_minute(scene.hour % 12, scene.minute):
            hour = scene.hour % 12  # hidden behind each other only at 12:00
        assert (hour or 12, minute) == (scene.hour, scene.minute), scene.key()
        assert nearest_color(at(minute, 15.5)) == scene.colors[2]
        assert nearest_color(at((hour + minute / 60) * 5, 9)) == scene.colors[1]
        assert nearest_color(at(7.5, 25)) == scene.colors[0]


def on_minute(hour: int, minute: int) -> bool:
    """Whether the hour hand points almost where the minute hand does."""
    return abs(((hour + minute / 60) * 5 - minute + 30) % 60 - 30) < 2


@pytest.mark.parametrize("name", list(KINDS))
def test_pictures_fit_the_patches_and_survive_png(name):
    rng = Random(3)
    for _ in range(20):
        scene = KINDS[name].scene.random(rng)
        picture = scene.draw()
        assert picture.mode == "RGB" and picture.width % 28 == 0 and picture.height % 28 == 0
        decoded = Image.open(io.BytesIO(png_bytes(picture)))
        assert decoded.format == "PNG"
        assert np.array_equal(pixels(decoded), pixels(scene.draw()))


@pytest.mark.parametrize("name", list(KINDS))
def test_different_contents_are_different_pictures(name):
    rng = Random(4)
    drawn = {KINDS[name].scene.random(rng) for _ in range(300)}
    assert len({scene.draw().tobytes() + bytes(scene.draw().size) for scene in drawn}) == len(drawn)
