"""Four shapes in four colors, two by two, one shape a cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import permutations
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.world.chains import commas, solve_compare, solve_count, solve_fraction, spaced
from mmupt.world.draw import CELL, COLORS, FINE, fine_picture, grid
from mmupt.world.scenes import POSITIONS, Question, Scene, Solved, look, match_contents

SHAPES = ("circle", "square", "triangle")
SHAPE_COLORS = tuple(COLORS)

_ENTRY = re.compile(r"(red|blue|green|yellow)-(circle|square|triangle)")


@lru_cache(maxsize=16)
def shape_cell(shape: str, color: str) -> Image.Image:
    """A shape 22 pixels wide in the middle of a white cell."""

    def paint(pen: ImageDraw.ImageDraw) -> None:
        low, high, middle = 3 * FINE, 25 * FINE - 1, 14 * FINE
        if shape == "circle":
            pen.ellipse((low, low, high, high), fill=COLORS[color])
        elif shape == "square":
            pen.rectangle((low, low, high, high), fill=COLORS[color])
        else:
            pen.polygon(((middle, low), (high, high), (low, high)), fill=COLORS[color])

    return fine_picture(CELL, CELL, paint)


@dataclass(frozen=True, slots=True)
class Shapes(Scene):
    """`shapes` and `colors` in reading order; 12^4 = 20,736 different pictures."""

    shapes: tuple[str, ...]
    colors: tuple[str, ...]
    kind = "shapes"

    @classmethod
    def random(cls, rng: Random) -> Self:
        return cls(tuple(rng.choices(SHAPES, k=4)), tuple(rng.choices(SHAPE_COLORS, k=4)))

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (4,))
        return cls(tuple(entry[2] for entry in entries), tuple(entry[1] for entry in entries))

    def contents(self) -> str:
        return ",".join(f"{color}-{shape}" for shape, color in zip(self.shapes, self.colors, strict=True))

    def draw(self) -> Image.Image:
        cells = [shape_cell(shape, color) for shape, color in zip(self.shapes, self.colors, strict=True)]
        return grid(cells, columns=2)

    def describe(self) -> str:
        return commas(self.pairs())

    def misread(self, rng: Random, wrong: float) -> Self:
        return type(self)(
            tuple(look(shape, SHAPES, rng, wrong) for shape in self.shapes),
            tuple(look(color, SHAPE_COLORS, rng, wrong) for color in self.colors),
        )

    def pairs(self) -> list[str]:
        """`red circle`, ... in reading order."""
        return [f"{color} {shape}" for shape, color in zip(self.shapes, self.colors, strict=True)]


def _count_pair(pair: str, scene: Shapes) -> Solved:
    count = scene.pairs().count(pair)
    return Solved(f"{scene.describe()}: {count}", str(count))


def _count_shape(shape: str, scene: Shapes) -> Solved:
    return solve_count(scene.shapes, shape)


def _count_color(color: str, scene: Shapes) -> Solved:
    return solve_count(scene.colors, color)


def _count_colors(scene: Shapes) -> Solved:
    different = list(dict.fromkeys(scene.colors))
    return Solved(f"{spaced(scene.colors)}: {spaced(different)}: {len(different)}", str(len(different)))


def _shape_at(place: int, scene: Shapes) -> Solved:
    return Solved(f"{POSITIONS[place]} {scene.shapes[place]}", scene.shapes[place])


def _color_at(place: int, scene: Shapes) -> Solved:
    return Solved(f"{POSITIONS[place]} {scene.colors[place]}", scene.colors[place])


def _choice(place: int, choices: tuple[str, ...], scene: Shapes) -> Solved:
    letter = "ABC"[choices.index(scene.shapes[place])]
    return Solved(f"{POSITIONS[place]} {scene.shapes[place]}: {letter}", letter)


def _fraction(shape: str, scene: Shapes) -> Solved:
    return solve_fraction(scene.shapes, shape)


def _more(left: str, right: str, scene: Shapes) -> Solved:
    return solve_compare(scene.shapes.count(left), scene.shapes.count(right), spaced(scene.shapes))


QUESTIONS: tuple[Question, ...] = (
    *(Question(f"Which shape is {p}?", "shape_at", 1, partial(_shape_at, i)) for i, p in enumerate(POSITIONS)),
    *(Question(f"Which color is {p}?", "color_at", 1, partial(_color_at, i)) for i, p in enumerate(POSITIONS)),
    *(
        Question(f"Which choice is the {p} shape?", "choice", 1, partial(_choice, i, order), choices=order)
        for i, p in enumerate(POSITIONS)
        for order in permutations(SHAPES)
    ),
    *(Question(f"How many {shape}s?", "count_shape", 2, partial(_count_shape, shape)) for shape in SHAPES),
    *(Question(f"How many {color} shapes?", "count_color", 2, partial(_count_color, color)) for color in SHAPE_COLORS),
    *(
        Question(f"What fraction of the shapes are {shape}s?", "fraction", 2, partial(_fraction, shape))
        for shape in SHAPES
    ),
    *(
        Question(f"How many {color} {shape}s?", "count_pair", 3, partial(_count_pair, f"{color} {shape}"))
        for color in SHAPE_COLORS
        for shape in SHAPES
    ),
    Question("How many different colors?", "count_colors", 3, _count_colors),
    *(
        Question(f"Are there more {left}s than {right}s, yes or no?", "more", 3, partial(_more, left, right))
        for left, right in permutations(SHAPES, 2)
    ),
)
