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
from mmupt.world.draw import digit_cell, fine_picture, png_bytes
from mmupt.world.glyphs import GLYPHS, write
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


def read_glyph(ink: np.ndarray) -> str:
    """Which of the glyphs a mask of 14 x 10 pixels shows, dot by dot; a glyph is five dots wide and seven high."""
    dots = ink.reshape(7, 2, 5, 2).mean(axis=(1, 3)) > 0.5
    shown = " ".join("".join("01"[int(dot)] for dot in row) for row in dots)
    (name,) = [name for name, rows in GLYPHS.items() if rows == shown]
    return name


def read_word(ink: np.ndarray, length: int) -> str:
    """A word of that many glyphs in the middle of a cell."""
    height, width = ink.shape
    wide = 12 * length - 2
    top, left = (height - 14) // 2, (width - wide) // 2
    area = ink[top : top + 14, left : left + wide]
    assert area.sum() == ink.sum()  # nothing is written elsewhere
    return "".join(read_glyph(area[:, 12 * index : 12 * index + 10]) for index in range(length))


def read_number(ink: np.ndarray) -> int:
    """One digit or two: of two, nothing stands in the middle column between them."""
    return int(read_word(ink, 2 if not ink[:, 13:15].any() and ink[:, 3:12].any() else 1))


def test_boards_can_be_read():
    rng = Random(5)
    for _ in range(60):
        scene = KINDS["board"].scene.random(rng)
        array = pixels(scene.draw())
        assert array.shape == (84, 112, 3)
        read = []
        for y, x in product(range(0, 84, 28), range(0, 112, 28)):
            cell = array[y : y + 28, x : x + 28]
            color = nearest_color(cell[5, 14])
            ink = (20, 20, 20) if color == "yellow" else (255, 255, 255)
            number = np.abs(cell[7:21, 9:19] - ink).sum(axis=2) < 150
            corner, side = np.ptp(cell[4, 4]) > 100, np.ptp(cell[14, 1]) > 60
            shape = "square" if corner and not side else "circle" if np.ptp(cell[5, 7]) > 100 else "diamond"
            read.append(f"{color}-{shape}-{read_glyph(number)}")
        assert ",".join(read) == scene.contents()


def test_sales_can_be_read():
    rng = Random(6)
    for _ in range(40):
        scene = KINDS["sales"].scene.random(rng)
        array = pixels(scene.draw())
        assert array.shape == (140, 140, 3)

        def cell(row: int, column: int, array=array) -> np.ndarray:
            return array[28 * row : 28 * row + 28, 28 * column : 28 * column + 28].min(axis=2)

        rows = []
        days = [read_word(cell(0, column) > 150, 2) for column in range(1, 5)]
        for row in range(1, 5):
            numbers = [read_number(cell(row, column) < 100) for column in range(1, 5)]
            shop = read_word(cell(row, 0) > 150, 1)
            rows.append("-".join([shop, *(f"{day}{n}" for day, n in zip(days, numbers, strict=True))]))
        assert ",".join(rows) == scene.contents()


def test_grouped_bars_can_be_read():
    """Bars are found on the line half a unit above the axis, and are as high as their color reaches."""
    rng = Random(7)
    for _ in range(100):
        scene = KINDS["grouped_bars"].scene.random(rng)
        array = pixels(scene.draw())
        assert array.shape[0] == 112 and array.shape[1] in (28 + 3 * 56, 28 + 4 * 56)
        groups = []
        for left in range(28, array.shape[1], 56):
            group, name = array[:84, left : left + 56], array[84:, left : left + 56]
            colored = np.ptp(group, axis=2) > 100
            bars, before = [], False
            for x in range(56):
                if colored[79, x] and not before:
                    bars.append(f"{nearest_color(group[79, x])}{round(colored[:, x].sum() / 8)}")
                before = colored[79, x]
            groups.append("-".join([read_word(name.max(axis=2) < 100, 1), *bars]))
        assert ",".join(groups) == scene.contents()
        axis = array[:84, :26].max(axis=2) < 100
        assert [read_word(axis[y : y + 14], 1) for y in (51, 27, 3)] == ["3", "6", "9"]


def test_glyphs_are_distinct_and_others_are_refused():
    names = list(GLYPHS)
    assert len(set(GLYPHS.values())) == len(names)
    for rows in GLYPHS.values():
        assert [len(row) for row in rows.split()] == [5] * 7
    with pytest.raises(KeyError):
        fine_picture(28, 28, lambda pen: write(pen, "Z", (56, 56), 8, (0, 0, 0)))


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
