"""A table of two rows and two columns, one digit a cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Self

from PIL import Image

from mmupt.world.chains import commas, solve_largest, solve_range, solve_rows, solve_sorted, solve_sum, spaced
from mmupt.world.draw import digit_cell, grid
from mmupt.world.scenes import POSITIONS, Question, Scene, Solved, look, match_contents

DIGITS = tuple(range(10))
LINES = {"top row": (0, 1), "bottom row": (2, 3), "left column": (0, 2), "right column": (1, 3)}
DIAGONALS = ((0, 3), (1, 2))

_ENTRY = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Table(Scene):
    """`digits` in reading order; 10^4 different pictures."""

    digits: tuple[int, ...]
    kind = "table"

    @classmethod
    def random(cls, rng: Random) -> Self:
        return cls(tuple(rng.choices(DIGITS, k=4)))

    @classmethod
    def parse(cls, contents: str) -> Self:
        return cls(tuple(int(entry[0]) for entry in match_contents(_ENTRY, contents, cls.kind, (4,))))

    def contents(self) -> str:
        return ",".join(map(str, self.digits))

    def draw(self) -> Image.Image:
        return grid([digit_cell(digit) for digit in self.digits], columns=2)

    def describe(self) -> str:
        return commas(self.digits)

    def misread(self, rng: Random, wrong: float) -> Self:
        return type(self)(tuple(look(digit, DIGITS, rng, wrong) for digit in self.digits))


def _digit_at(place: int, scene: Table) -> Solved:
    return Solved(f"{POSITIONS[place]} {scene.digits[place]}", str(scene.digits[place]))


def _line(cells: tuple[int, int], scene: Table) -> Solved:
    numbers = [scene.digits[cell] for cell in cells]
    return solve_sum(spaced(numbers), numbers)


def _times(cells: tuple[int, int], scene: Table) -> Solved:
    left, right = (scene.digits[cell] for cell in cells)
    return Solved(f"{left} {right}: {left}*{right}={left * right}", str(left * right))


def _evens(scene: Table) -> Solved:
    evens = [digit for digit in scene.digits if digit % 2 == 0]
    found = spaced(evens) if evens else "none"
    return Solved(f"{spaced(scene.digits)}: even {found}: {len(evens)}", str(len(evens)))


QUESTIONS: tuple[Question, ...] = (
    *(Question(f"Which number is {p}?", "digit_at", 1, partial(_digit_at, i)) for i, p in enumerate(POSITIONS)),
    Question("Largest number?", "largest", 1, lambda scene: solve_largest(scene.digits)),
    *(Question(f"Add the {name}.", "line_sum", 2, partial(_line, cells)) for name, cells in LINES.items()),
    Question("Largest minus smallest?", "range", 2, lambda scene: solve_range(scene.digits)),
    Question("How many even numbers?", "evens", 2, _evens),
    Question("Add all numbers.", "sum", 3, lambda scene: solve_sum(spaced(scene.digits), scene.digits)),
    *(
        Question(f"{POSITIONS[a].capitalize()} times {POSITIONS[b]}?", "product", 3, partial(_times, (a, b)))
        for a, b in DIAGONALS
    ),
    Question("List the numbers from small to large.", "sorted", 3, lambda scene: solve_sorted(scene.digits)),
    Question("Is the top row more than the bottom row, yes or no?", "rows", 3, lambda scene: solve_rows(scene.digits)),
)
