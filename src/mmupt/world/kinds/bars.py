"""A bar chart: two to four bars, each in its own color and its own column of cells, values 1 to 9."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import permutations
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.errors import DataError
from mmupt.world.chains import commas, running_sum, solve_largest, solve_range, solve_sum, spaced
from mmupt.world.draw import BLACK, CELL, COLORS, GRAY, WHITE
from mmupt.world.scenes import Question, Scene, Solved, look, match_contents

VALUES = (1, 2, 3, 4, 5, 6, 7, 8, 9)
BAR_COLORS = tuple(COLORS)
UNIT = 6
"""Pixels that one unit of value is high; nine fit into two cells, the axis below them."""

_ENTRY = re.compile(r"(red|blue|green|yellow)([1-9])")


@dataclass(frozen=True, slots=True)
class Bars(Scene):
    """`values` and `colors` from left to right; no color twice, so that a color names a bar."""

    values: tuple[int, ...]
    colors: tuple[str, ...]
    kind = "bars"

    @classmethod
    def random(cls, rng: Random) -> Self:
        number = rng.randint(2, 4)
        return cls(tuple(rng.choices(VALUES, k=number)), tuple(rng.sample(BAR_COLORS, k=number)))

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (2, 3, 4))
        colors = tuple(entry[1] for entry in entries)
        if len(set(colors)) < len(colors):
            raise DataError(f'"bars:{contents}" names a color twice; take keys from meta["key"] of a world row')
        return cls(tuple(int(entry[2]) for entry in entries), colors)

    def contents(self) -> str:
        return ",".join(f"{color}{value}" for value, color in zip(self.values, self.colors, strict=True))

    def draw(self) -> Image.Image:
        width, height = CELL * len(self.values), 2 * CELL
        picture = Image.new("RGB", (width, height), WHITE)
        pen = ImageDraw.Draw(picture)
        floor = height - 2  # the axis is two pixels thick
        for value in VALUES:
            pen.line((0, floor - UNIT * value, width - 1, floor - UNIT * value), fill=GRAY)
        for index, (value, color) in enumerate(zip(self.values, self.colors, strict=True)):
            left = CELL * index
            pen.rectangle((left + 4, floor - UNIT * value, left + CELL - 5, floor - 1), fill=COLORS[color])
        pen.rectangle((0, floor, width - 1, height - 1), fill=BLACK)
        return picture

    def describe(self) -> str:
        return commas(f"{color} {value}" for value, color in zip(self.values, self.colors, strict=True))

    def misread(self, rng: Random, wrong: float) -> Self:
        """Heights are misread by one or two units. Colors are not: they name the bars."""
        near = [[other for other in VALUES if abs(other - value) <= 2] for value in self.values]
        values = tuple(look(value, others, rng, wrong) for value, others in zip(self.values, near, strict=True))
        return type(self)(values, self.colors)

    def value_of(self, color: str) -> int:
        return self.values[self.colors.index(color)]


def _height(color: str, scene: Bars) -> Solved:
    value = scene.value_of(color)
    return Solved(f"{color} {value}", str(value))


def _minus(left: str, right: str, scene: Bars) -> Solved:
    high, low = scene.value_of(left), scene.value_of(right)
    return Solved(f"{left} {high}, {right} {low}: {high}-{low}={high - low}", str(high - low))


def _has(colors: tuple[str, ...], scene: Bars) -> bool:
    return all(color in scene.colors for color in colors)


def _highest(scene: Bars) -> Solved:
    top = max(scene.values)
    color = scene.colors[scene.values.index(top)]
    return Solved(f"{scene.describe()}: {color}", color)


def _one_highest(scene: Bars) -> bool:
    return scene.values.count(max(scene.values)) == 1


def _mean(scene: Bars) -> Solved:
    total, number = sum(scene.values), len(scene.values)
    return Solved(
        f"{spaced(scene.values)}: {running_sum(scene.values)}, {total}/{number}", str(Fraction(total, number))
    )


QUESTIONS: tuple[Question, ...] = (
    *(
        Question(f"How high is the {color} bar?", "height", 1, partial(_height, color), valid=partial(_has, (color,)))
        for color in BAR_COLORS
    ),
    Question("Largest value?", "largest", 1, lambda scene: solve_largest(scene.values)),
    Question("Which bar is highest?", "highest", 2, _highest, valid=_one_highest),
    Question("Largest minus smallest?", "range", 2, lambda scene: solve_range(scene.values)),
    *(
        Question(
            f"{left.capitalize()} minus {right}?",
            "minus",
            2,
            partial(_minus, left, right),
            valid=partial(_has, (left, right)),
        )
        for left, right in permutations(BAR_COLORS, 2)
    ),
    Question("Add all bars.", "sum", 3, lambda scene: solve_sum(spaced(scene.values), scene.values)),
    Question("Mean of the bars?", "mean", 3, _mean),
)
