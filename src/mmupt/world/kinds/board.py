"""A board of a dozen tiles, three rows of four; each has a shape, a color and a number from 1 to 9."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import permutations
from random import Random
from typing import NamedTuple, Self

from PIL import Image, ImageDraw

from mmupt.world.chains import commas, solve_count
from mmupt.world.draw import BLACK, CELL, COLORS, FINE, WHITE, fine_picture, grid
from mmupt.world.glyphs import write
from mmupt.world.long_chains import found, one_largest, solve_difference, solve_more, solve_richest, solve_total
from mmupt.world.scenes import Question, Scene, Solved, look, match_contents

ROWS, COLUMNS = 3, 4
TILES = ROWS * COLUMNS
TILE_SHAPES = ("circle", "square", "diamond")
TILE_COLORS = tuple(COLORS)
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9)

_ENTRY = re.compile(r"(red|blue|green|yellow)-(circle|square|diamond)-([1-9])")


class Tile(NamedTuple):
    """One object: what it is in words is `red circle 3`."""

    color: str
    shape: str
    number: int

    def __str__(self) -> str:
        return f"{self.color} {self.shape} {self.number}"


@lru_cache(maxsize=128)
def tile_cell(tile: Tile) -> Image.Image:
    """A shape that nearly fills its white cell, with its number in the middle."""

    def paint(pen: ImageDraw.ImageDraw) -> None:
        low, high, middle = FINE, (CELL - 1) * FINE - 1, CELL * FINE / 2
        fill, inset = COLORS[tile.color], 2 * FINE
        if tile.shape == "circle":
            pen.ellipse((low, low, high, high), fill=fill)
        elif tile.shape == "square":
            pen.rectangle((low + inset, low + inset, high - inset, high - inset), fill=fill)
        else:
            low, high = 0, CELL * FINE - 1
            pen.polygon(((middle, low), (high, middle), (middle, high), (low, middle)), fill=fill)
        write(pen, str(tile.number), (middle, middle), 2 * FINE, BLACK if tile.color == "yellow" else WHITE)

    return fine_picture(CELL, CELL, paint)


@dataclass(frozen=True, slots=True)
class Board(Scene):
    """`tiles` in reading order; 108^12 different pictures."""

    tiles: tuple[Tile, ...]
    kind = "board"

    @classmethod
    def random(cls, rng: Random) -> Self:
        return cls(
            tuple(Tile(rng.choice(TILE_COLORS), rng.choice(TILE_SHAPES), rng.choice(NUMBERS)) for _ in range(TILES))
        )

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (TILES,))
        return cls(tuple(Tile(entry[1], entry[2], int(entry[3])) for entry in entries))

    def contents(self) -> str:
        return ",".join(f"{tile.color}-{tile.shape}-{tile.number}" for tile in self.tiles)

    def draw(self) -> Image.Image:
        return grid([tile_cell(tile) for tile in self.tiles], COLUMNS)

    def describe(self) -> str:
        return commas(self.tiles)

    def misread(self, rng: Random, wrong: float) -> Self:
        return type(self)(
            tuple(
                Tile(
                    look(tile.color, TILE_COLORS, rng, wrong),
                    look(tile.shape, TILE_SHAPES, rng, wrong),
                    look(tile.number, NUMBERS, rng, wrong),
                )
                for tile in self.tiles
            )
        )

    def row(self, row: int) -> tuple[Tile, ...]:
        return self.tiles[row * COLUMNS : (row + 1) * COLUMNS]

    def numbers(self, color: str | None = None, shape: str | None = None) -> list[int]:
        """The numbers on tiles of that color and shape (None: any), in reading order."""
        return [tile.number for tile in self.tiles if color in (None, tile.color) and shape in (None, tile.shape)]

    def by_color(self) -> dict[str, list[int]]:
        """The colors on the board with the numbers on them, in the order of `TILE_COLORS`."""
        return {color: numbers for color in TILE_COLORS if (numbers := self.numbers(color))}


def _place(row: int, column: int) -> str:
    return f"row {row + 1}, column {column + 1}"


def _number_at(row: int, column: int, scene: Board) -> Solved:
    number = scene.row(row)[column].number
    return Solved(f"{_place(row, column)}: {number}", str(number))


def _color_at(row: int, column: int, scene: Board) -> Solved:
    color = scene.row(row)[column].color
    return Solved(f"{_place(row, column)}: {color}", color)


def _shape_choice(row: int, column: int, choices: tuple[str, ...], scene: Board) -> Solved:
    shape = scene.row(row)[column].shape
    letter = "ABC"[choices.index(shape)]
    return Solved(f"{_place(row, column)}: {shape}: {letter}", letter)


def _count_color(color: str, scene: Board) -> Solved:
    return solve_count([tile.color for tile in scene.tiles], color)


def _row_sum(row: int, scene: Board) -> Solved:
    return solve_total(f"row {row + 1}:", [tile.number for tile in scene.row(row)])


def _color_sum(color: str, scene: Board) -> Solved:
    return solve_total(color, scene.numbers(color))


def _pair_sum(color: str, shape: str, scene: Board) -> Solved:
    return solve_total(f"{color} {shape}", scene.numbers(color, shape))


def _largest(shape: str, scene: Board) -> Solved:
    numbers = scene.numbers(shape=shape)
    largest = str(max(numbers, default=0))
    return Solved(f"{found(shape, numbers)}: largest {largest}", largest)


def _even(color: str, scene: Board) -> Solved:
    numbers = scene.numbers(color)
    evens = [number for number in numbers if number % 2 == 0]
    return Solved(f"{found(color, numbers)}: {found('even', evens)}: {len(evens)}", str(len(evens)))


def _difference(left: str, right: str, scene: Board) -> Solved:
    return solve_difference(left, scene.numbers(left), right, scene.numbers(right))


def _more(left: str, right: str, scene: Board) -> Solved:
    return solve_more(left, scene.numbers(left), right, scene.numbers(right))


def _richest(scene: Board) -> Solved:
    return solve_richest(scene.by_color())


def _has_color(color: str, scene: Board) -> bool:
    return bool(scene.numbers(color))


def _has_shape(shape: str, scene: Board) -> bool:
    return bool(scene.numbers(shape=shape))


def _has_pair(color: str, shape: str, scene: Board) -> bool:
    return bool(scene.numbers(color, shape))


def _has_colors(left: str, right: str, scene: Board) -> bool:
    return _has_color(left, scene) and _has_color(right, scene)


def _one_richest(scene: Board) -> bool:
    return one_largest([sum(numbers) for numbers in scene.by_color().values()])


_PLACES = tuple((row, column) for row in range(ROWS) for column in range(COLUMNS))

QUESTIONS: tuple[Question, ...] = (
    *(Question(f"Which number is in {_place(*at)}?", "number_at", 1, partial(_number_at, *at)) for at in _PLACES),
    *(Question(f"Which color is in {_place(*at)}?", "color_at", 1, partial(_color_at, *at)) for at in _PLACES),
    *(
        Question(
            f"Which choice is the shape in {_place(*at)}?",
            "shape_choice",
            1,
            partial(_shape_choice, *at, order),
            choices=order,
        )
        for at in _PLACES
        for order in permutations(TILE_SHAPES)
    ),
    *(Question(f"How many {color} tiles?", "count_color", 2, partial(_count_color, color)) for color in TILE_COLORS),
    *(Question(f"Add the numbers of row {row + 1}.", "row_sum", 2, partial(_row_sum, row)) for row in range(ROWS)),
    *(
        Question(
            f"Add the numbers on {color} tiles.", "color_sum", 2, partial(_color_sum, color), partial(_has_color, color)
        )
        for color in TILE_COLORS
    ),
    *(
        Question(f"Largest number on a {shape}?", "largest", 2, partial(_largest, shape), partial(_has_shape, shape))
        for shape in TILE_SHAPES
    ),
    *(
        Question(
            f"Add the numbers on {color} {shape}s.",
            "pair_sum",
            3,
            partial(_pair_sum, color, shape),
            partial(_has_pair, color, shape),
        )
        for color in TILE_COLORS
        for shape in TILE_SHAPES
    ),
    *(
        Question(
            f"How many {color} tiles show an even number?", "even", 3, partial(_even, color), partial(_has_color, color)
        )
        for color in TILE_COLORS
    ),
    *(
        Question(
            f"What is the {left} sum minus the {right} sum?",
            "difference",
            3,
            partial(_difference, left, right),
            partial(_has_colors, left, right),
        )
        for left, right in permutations(TILE_COLORS, 2)
    ),
    *(
        Question(
            f"Do {left} tiles add up to more than {right} ones, yes or no?",
            "more",
            3,
            partial(_more, left, right),
            partial(_has_colors, left, right),
        )
        for left, right in permutations(TILE_COLORS, 2)
    ),
    Question("Which color adds up to the most?", "richest", 3, _richest, valid=_one_richest),
)
