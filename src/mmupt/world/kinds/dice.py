"""Four dice in two colors, two by two, one die a cell. The picture kind a tiny model learns fastest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.world.chains import (
    commas,
    solve_count,
    solve_fraction,
    solve_largest,
    solve_range,
    solve_rows,
    solve_smallest,
    solve_sorted,
    solve_sum,
    spaced,
)
from mmupt.world.draw import CELL, COLORS, FINE, WHITE, fine_picture, grid
from mmupt.world.scenes import POSITIONS, Question, Scene, Solved, look, match_contents

FACES = (1, 2, 3, 4, 5, 6)
DICE_COLORS = ("red", "blue")

_PIPS = {  # column and row in a grid of 3 x 3
    1: ((1, 1),),
    2: ((0, 0), (2, 2)),
    3: ((0, 0), (1, 1), (2, 2)),
    4: ((0, 0), (2, 0), (0, 2), (2, 2)),
    5: ((0, 0), (2, 0), (1, 1), (0, 2), (2, 2)),
    6: ((0, 0), (2, 0), (0, 1), (2, 1), (0, 2), (2, 2)),
}
_ENTRY = re.compile(r"(red|blue)([1-6])")


@lru_cache(maxsize=16)
def die_cell(face: int, color: str) -> Image.Image:
    """A die that fills its cell up to one pixel, in full color, with white pips."""

    def paint(pen: ImageDraw.ImageDraw) -> None:
        edge = CELL * FINE
        pen.rounded_rectangle((FINE, FINE, edge - FINE - 1, edge - FINE - 1), radius=4 * FINE, fill=COLORS[color])
        for column, row in _PIPS[face]:
            x, y, radius = (6.5 + 7.5 * column) * FINE, (6.5 + 7.5 * row) * FINE, 3 * FINE
            pen.ellipse((x - radius, y - radius, x + radius - 1, y + radius - 1), fill=WHITE)

    return fine_picture(CELL, CELL, paint)


@dataclass(frozen=True, slots=True)
class Dice(Scene):
    """`faces` and `colors` in reading order; 6^4 2^4 = 20,736 different pictures."""

    faces: tuple[int, ...]
    colors: tuple[str, ...]
    kind = "dice"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Every other picture holds two neighbouring faces only, every fourth a random range of faces, the rest all of
        them: otherwise small and large totals would be too rare to be learned, and a majority would be wrong about
        them for ever."""
        spread = rng.choice(("neighbours", "neighbours", "range", "all"))
        if spread == "neighbours":
            low = rng.choice(FACES[:-1])
            high = low + 1
        else:
            low, high = sorted(rng.sample(FACES, 2)) if spread == "range" else (FACES[0], FACES[-1])
        faces = range(low, high + 1)
        return cls(tuple(rng.choices(faces, k=4)), tuple(rng.choices(DICE_COLORS, k=4)))

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (4,))
        return cls(tuple(int(entry[2]) for entry in entries), tuple(entry[1] for entry in entries))

    def contents(self) -> str:
        return ",".join(f"{color}{face}" for face, color in zip(self.faces, self.colors, strict=True))

    def draw(self) -> Image.Image:
        return grid([die_cell(face, color) for face, color in zip(self.faces, self.colors, strict=True)], columns=2)

    def describe(self) -> str:
        return commas(f"{color} {face}" for face, color in zip(self.faces, self.colors, strict=True))

    def misread(self, rng: Random, wrong: float) -> Self:
        return type(self)(
            tuple(look(face, FACES, rng, wrong) for face in self.faces),
            tuple(look(color, DICE_COLORS, rng, wrong) for color in self.colors),
        )

    def of_color(self, color: str) -> list[int]:
        """The faces of the dice of that color, in reading order."""
        return [face for face, own in zip(self.faces, self.colors, strict=True) if own == color]


def _more_than(bound: int, scene: Dice) -> Solved:
    count = sum(face > bound for face in scene.faces)
    return Solved(f"{spaced(scene.faces)}: {count}", str(count))


def _face_at(place: int, scene: Dice) -> Solved:
    return Solved(f"{POSITIONS[place]} {scene.faces[place]}", str(scene.faces[place]))


def _color_at(place: int, scene: Dice) -> Solved:
    return Solved(f"{POSITIONS[place]} {scene.colors[place]}", scene.colors[place])


def _sum_of_color(color: str, scene: Dice) -> Solved:
    read = spaced(f"{own} {face}" for face, own in zip(scene.faces, scene.colors, strict=True))
    return solve_sum(read, scene.of_color(color))


def _has_color(color: str, scene: Dice) -> bool:
    return color in scene.colors


def _count_color(color: str, scene: Dice) -> Solved:
    return solve_count(scene.colors, color)


def _fraction_of_color(color: str, scene: Dice) -> Solved:
    return solve_fraction(scene.colors, color)


QUESTIONS: tuple[Question, ...] = (
    Question("Add all dice.", "sum", 3, lambda scene: solve_sum(spaced(scene.faces), scene.faces)),
    Question("Largest die?", "largest", 1, lambda scene: solve_largest(scene.faces)),
    Question("Smallest die?", "smallest", 1, lambda scene: solve_smallest(scene.faces)),
    Question("Largest minus smallest?", "range", 2, lambda scene: solve_range(scene.faces)),
    Question("List the dice from small to large.", "sorted", 3, lambda scene: solve_sorted(scene.faces)),
    Question(
        "Does the top row show more than the bottom row, yes or no?", "rows", 3, lambda scene: solve_rows(scene.faces)
    ),
    *(Question(f"How many {c} dice?", f"count_{c}", 2, partial(_count_color, c)) for c in DICE_COLORS),
    *(
        Question(f"What fraction of the dice is {c}?", "fraction", 2, partial(_fraction_of_color, c))
        for c in DICE_COLORS
    ),
    *(
        Question(f"Add the {c} dice.", "sum_of_color", 3, partial(_sum_of_color, c), valid=partial(_has_color, c))
        for c in DICE_COLORS
    ),
    *(Question(f"How many dice show more than {n}?", "more_than", 2, partial(_more_than, n)) for n in (2, 3, 4)),
    *(Question(f"What does the {p} die show?", "face_at", 1, partial(_face_at, i)) for i, p in enumerate(POSITIONS)),
    *(Question(f"Which color is the {p} die?", "color_at", 1, partial(_color_at, i)) for i, p in enumerate(POSITIONS)),
)
