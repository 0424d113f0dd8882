"""A grouped bar chart: three or four named groups with a bar of every color each, values 1 to 9, a numbered axis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.errors import DataError
from mmupt.world.chains import commas
from mmupt.world.draw import BLACK, CELL, COLORS, GRAY, WHITE
from mmupt.world.glyphs import write
from mmupt.world.long_chains import (
    one_largest,
    solve_difference,
    solve_highest,
    solve_mean,
    solve_more,
    solve_richest,
    solve_total,
    solve_wins,
)
from mmupt.world.scenes import Question, Scene, Solved, look, match_contents

VALUES = (1, 2, 3, 4, 5, 6, 7, 8, 9)
NAMES = ("A", "B", "C", "D", "E", "F")
BAR_COLORS = tuple(COLORS)

UNIT = 8
"""Pixels that one unit of value is high; nine of them with half a number above fit into three cells."""
_FLOOR = 3 * CELL - 2  # y of the axis, which is two pixels thick
_LEFT = CELL  # x of the first group, beside the numbers of the axis
_GROUP = 2 * CELL  # width of a group
_BAR = 15  # width of a bar; three of them leave a gap beside the group

_ENTRY = re.compile(r"([A-F])((?:-(?:red|blue|green|yellow)[1-9]){2,3})")


@dataclass(frozen=True, slots=True)
class GroupedBars(Scene):
    """`values` group by group, in the order of `colors`. Names stand in their natural order; no name and no color
    comes twice, so that the two name a bar."""

    names: tuple[str, ...]
    colors: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    kind = "grouped_bars"

    @classmethod
    def random(cls, rng: Random) -> Self:
        names = tuple(sorted(rng.sample(NAMES, rng.randint(3, 4))))
        colors = tuple(rng.sample(BAR_COLORS, rng.randint(2, 3)))
        return cls(names, colors, tuple(tuple(rng.choices(VALUES, k=len(colors))) for _ in names))

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (3, 4))
        bars = [re.findall(r"-([a-z]+)(\d)", entry[2]) for entry in entries]
        names = tuple(entry[1] for entry in entries)
        colors = [tuple(color for color, _ in group) for group in bars]
        if names != tuple(sorted(set(names))) or len(set(colors)) > 1 or len(set(colors[0])) < len(colors[0]):
            raise DataError(
                f'"grouped_bars:{contents}" is not the key of a picture; take keys from meta["key"] of a world row'
            )
        return cls(names, colors[0], tuple(tuple(int(value) for _, value in group) for group in bars))

    def contents(self) -> str:
        """`A-red3-blue5,C-red9-blue1,D-red2-blue2`."""
        return ",".join(
            "-".join([name, *(f"{color}{value}" for color, value in zip(self.colors, group, strict=True))])
            for name, group in zip(self.names, self.values, strict=True)
        )

    def draw(self) -> Image.Image:
        width, height = _LEFT + _GROUP * len(self.names), 4 * CELL
        picture = Image.new("RGB", (width, height), WHITE)
        pen = ImageDraw.Draw(picture)
        for value in VALUES:
            pen.line((_LEFT - 3, _FLOOR - UNIT * value, width - 1, _FLOOR - UNIT * value), fill=GRAY)
            if value % 3 == 0:
                write(pen, str(value), (_LEFT / 2 - 1, _FLOOR - UNIT * value), 2, BLACK)
        for index, (name, group) in enumerate(zip(self.names, self.values, strict=True)):
            left = _LEFT + _GROUP * index + (_GROUP - _BAR * len(group)) // 2
            for place, (color, value) in enumerate(zip(self.colors, group, strict=True)):
                x = left + _BAR * place
                pen.rectangle((x, _FLOOR - UNIT * value, x + _BAR - 2, _FLOOR - 1), fill=COLORS[color])
            write(pen, name, (_LEFT + _GROUP * (index + 0.5), 3.5 * CELL), 2, BLACK)
        pen.rectangle((_LEFT - 3, _FLOOR, width - 1, _FLOOR + 1), fill=BLACK)
        return picture

    def describe(self) -> str:
        groups = zip(self.names, self.values, strict=True)
        return "; ".join(
            f"{name} {commas(f'{color} {value}' for color, value in zip(self.colors, group, strict=True))}"
            for name, group in groups
        )

    def misread(self, rng: Random, wrong: float) -> Self:
        """Heights are misread by one or two units. Names and colors are not: they name the bars."""

        def near(value: int) -> list[int]:
            return [other for other in VALUES if abs(other - value) <= 2]

        values = tuple(tuple(look(value, near(value), rng, wrong) for value in group) for group in self.values)
        return type(self)(self.names, self.colors, values)

    def of_group(self, name: str) -> tuple[int, ...]:
        return self.values[self.names.index(name)]

    def of_color(self, color: str) -> tuple[int, ...]:
        place = self.colors.index(color)
        return tuple(group[place] for group in self.values)


def _height(name: str, color: str, scene: GroupedBars) -> Solved:
    value = scene.of_group(name)[scene.colors.index(color)]
    return Solved(f"{name} {color} {value}", str(value))


def _group_total(name: str, scene: GroupedBars) -> Solved:
    return solve_total(name, scene.of_group(name))


def _color_total(color: str, scene: GroupedBars) -> Solved:
    return solve_total(color, scene.of_color(color))


def _highest(color: str, scene: GroupedBars) -> Solved:
    return solve_highest(color, dict(zip(scene.names, scene.of_color(color), strict=True)))


def _wins(left: str, right: str, scene: GroupedBars) -> Solved:
    return solve_wins(left, scene.of_color(left), right, scene.of_color(right))


def _difference(left: str, right: str, scene: GroupedBars) -> Solved:
    return solve_difference(left, scene.of_color(left), right, scene.of_color(right))


def _more(left: str, right: str, scene: GroupedBars) -> Solved:
    return solve_more(left, scene.of_group(left), right, scene.of_group(right))


def _mean(color: str, scene: GroupedBars) -> Solved:
    return solve_mean(color, scene.of_color(color))


def _richest(scene: GroupedBars) -> Solved:
    return solve_richest(dict(zip(scene.names, scene.values, strict=True)))


def _has(things: tuple[str, ...], scene: GroupedBars) -> bool:
    return all(thing in scene.names or thing in scene.colors for thing in things)


def _one_highest(color: str, scene: GroupedBars) -> bool:
    return color in scene.colors and one_largest(scene.of_color(color))


def _one_richest(scene: GroupedBars) -> bool:
    return one_largest([sum(group) for group in scene.values])


QUESTIONS: tuple[Question, ...] = (
    *(
        Question(
            f"How high is the {color} bar of {name}?",
            "height",
            1,
            partial(_height, name, color),
            partial(_has, (name, color)),
        )
        for name, color in product(NAMES, BAR_COLORS)
    ),
    *(
        Question(f"Add the bars of {name}.", "group_total", 2, partial(_group_total, name), partial(_has, (name,)))
        for name in NAMES
    ),
    *(
        Question(f"Add the {color} bars.", "color_total", 2, partial(_color_total, color), partial(_has, (color,)))
        for color in BAR_COLORS
    ),
    *(
        Question(
            f"Which group has the highest {color} bar?",
            "highest",
            2,
            partial(_highest, color),
            partial(_one_highest, color),
        )
        for color in BAR_COLORS
    ),
    *(
        Question(f"Mean of the {color} bars?", "mean", 3, partial(_mean, color), partial(_has, (color,)))
        for color in BAR_COLORS
    ),
    *(
        Question(
            f"In how many groups is {left} higher than {right}?",
            "wins",
            3,
            partial(_wins, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(BAR_COLORS, 2)
    ),
    *(
        Question(
            f"Sum of the {left} bars minus sum of the {right} bars?",
            "difference",
            3,
            partial(_difference, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(BAR_COLORS, 2)
    ),
    *(
        Question(
            f"Does group {left} add up to more than group {right}, yes or no?",
            "more",
            3,
            partial(_more, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(NAMES, 2)
    ),
    Question("Which group adds up to the most?", "richest", 3, _richest, valid=_one_richest),
)
