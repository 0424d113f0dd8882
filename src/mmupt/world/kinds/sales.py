"""A table of what four shops sold on four days: rows and columns have names, numbers go from 1 to 12."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.errors import DataError
from mmupt.world.chains import commas, solve_range
from mmupt.world.draw import BLACK, CELL, FINE, GRAY, RGB, fine_picture
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

SHOPS = ("A", "B", "C", "D", "E", "F")
DAYS = ("Mo", "Tu", "We", "Th", "Fr")
NUMBERS = tuple(range(1, 13))
SIZE = 4
"""Shops, and days, in one table."""

_HEAD: RGB = (40, 70, 120)
_PALE: RGB = (236, 241, 248)
_PAPER: RGB = (255, 255, 255)
_NUMBER = r"(?:1[0-2]|[1-9])"
_ENTRY = re.compile(rf"([A-F])((?:-(?:Mo|Tu|We|Th|Fr){_NUMBER}){{{SIZE}}})")


@dataclass(frozen=True, slots=True)
class Sales(Scene):
    """`numbers` row by row, a row a shop; shops and days stand in their natural order, none twice."""

    shops: tuple[str, ...]
    days: tuple[str, ...]
    numbers: tuple[tuple[int, ...], ...]
    kind = "sales"

    @classmethod
    def random(cls, rng: Random) -> Self:
        shops, days = (tuple(sorted(rng.sample(names, SIZE), key=names.index)) for names in (SHOPS, DAYS))
        return cls(shops, days, tuple(tuple(rng.choices(NUMBERS, k=SIZE)) for _ in shops))

    @classmethod
    def parse(cls, contents: str) -> Self:
        entries = match_contents(_ENTRY, contents, cls.kind, (SIZE,))
        cells = [re.findall(r"-([A-Z][a-z])(\d+)", entry[2]) for entry in entries]
        shops = tuple(entry[1] for entry in entries)
        days = [tuple(day for day, _ in row) for row in cells]
        ordered = all(
            names == tuple(sorted(set(names), key=all_.index)) for names, all_ in ((shops, SHOPS), (days[0], DAYS))
        )
        if not ordered or len(set(days)) > 1:
            raise DataError(
                f'"sales:{contents}" is not the key of a picture; take keys from meta["key"] of a world row'
            )
        return cls(shops, days[0], tuple(tuple(int(number) for _, number in row) for row in cells))

    def contents(self) -> str:
        """`A-Mo3-Tu5-We12-Fr1,B-...`."""
        rows = zip(self.shops, self.numbers, strict=True)
        return ",".join(
            "-".join([shop, *(f"{day}{number}" for day, number in zip(self.days, row, strict=True))])
            for shop, row in rows
        )

    def draw(self) -> Image.Image:
        def paint(pen: ImageDraw.ImageDraw) -> None:
            edge, cell = (SIZE + 1) * CELL * FINE, CELL * FINE
            for row in range(1, SIZE + 1):
                pen.rectangle((0, row * cell, edge, (row + 1) * cell - 1), fill=_PALE if row % 2 == 0 else _PAPER)
            pen.rectangle((0, 0, edge, cell - 1), fill=_HEAD)
            pen.rectangle((0, 0, cell - 1, edge), fill=_HEAD)
            for line in range(2, SIZE + 1):
                pen.line((line * cell, cell, line * cell, edge), fill=GRAY, width=FINE)
            for index, name in enumerate(self.days, start=1):
                write(pen, name, (_middle(index), _middle(0)), 2 * FINE, _PAPER)
            for index, name in enumerate(self.shops, start=1):
                write(pen, name, (_middle(0), _middle(index)), 2 * FINE, _PAPER)
            for row, column in product(range(SIZE), repeat=2):
                write(pen, str(self.numbers[row][column]), (_middle(column + 1), _middle(row + 1)), 2 * FINE, BLACK)

        return fine_picture((SIZE + 1) * CELL, (SIZE + 1) * CELL, paint)

    def describe(self) -> str:
        return "; ".join(f"{shop} {commas(self._cells(shop))}" for shop in self.shops)

    def misread(self, rng: Random, wrong: float) -> Self:
        """Names are not misread: a number would stand in another place."""
        return type(self)(
            self.shops, self.days, tuple(tuple(look(n, NUMBERS, rng, wrong) for n in row) for row in self.numbers)
        )

    def of_shop(self, shop: str) -> tuple[int, ...]:
        return self.numbers[self.shops.index(shop)]

    def on_day(self, day: str) -> tuple[int, ...]:
        column = self.days.index(day)
        return tuple(row[column] for row in self.numbers)

    def _cells(self, shop: str) -> list[str]:
        return [f"{day} {number}" for day, number in zip(self.days, self.of_shop(shop), strict=True)]


def _middle(cell: int) -> float:
    return (cell + 0.5) * CELL * FINE


def _cell(shop: str, day: str, scene: Sales) -> Solved:
    number = scene.of_shop(shop)[scene.days.index(day)]
    return Solved(f"{shop} {day} {number}", str(number))


def _shop_total(shop: str, scene: Sales) -> Solved:
    return solve_total(shop, scene.of_shop(shop))


def _day_total(day: str, scene: Sales) -> Solved:
    return solve_total(day, scene.on_day(day))


def _best_day(shop: str, scene: Sales) -> Solved:
    return solve_highest(shop, dict(zip(scene.days, scene.of_shop(shop), strict=True)))


def _best_shop(day: str, scene: Sales) -> Solved:
    return solve_highest(day, dict(zip(scene.shops, scene.on_day(day), strict=True)))


def _range(shop: str, scene: Sales) -> Solved:
    return solve_range(scene.of_shop(shop))


def _mean(shop: str, scene: Sales) -> Solved:
    return solve_mean(shop, scene.of_shop(shop))


def _difference(left: str, right: str, scene: Sales) -> Solved:
    return solve_difference(left, scene.of_shop(left), right, scene.of_shop(right))


def _more(left: str, right: str, scene: Sales) -> Solved:
    return solve_more(left, scene.on_day(left), right, scene.on_day(right))


def _wins(left: str, right: str, scene: Sales) -> Solved:
    return solve_wins(left, scene.of_shop(left), right, scene.of_shop(right))


def _best_total(scene: Sales) -> Solved:
    return solve_richest({shop: scene.of_shop(shop) for shop in scene.shops})


def _has(names: tuple[str, ...], scene: Sales) -> bool:
    return all(name in scene.shops or name in scene.days for name in names)


def _one_best_day(shop: str, scene: Sales) -> bool:
    return shop in scene.shops and one_largest(scene.of_shop(shop))


def _one_best_shop(day: str, scene: Sales) -> bool:
    return day in scene.days and one_largest(scene.on_day(day))


def _one_best_total(scene: Sales) -> bool:
    return one_largest([sum(row) for row in scene.numbers])


QUESTIONS: tuple[Question, ...] = (
    *(
        Question(f"Sales of shop {shop} on {day}?", "cell", 1, partial(_cell, shop, day), partial(_has, (shop, day)))
        for shop, day in product(SHOPS, DAYS)
    ),
    *(
        Question(f"Total sales of shop {shop}?", "shop_total", 2, partial(_shop_total, shop), partial(_has, (shop,)))
        for shop in SHOPS
    ),
    *(
        Question(f"Total sales on {day}?", "day_total", 2, partial(_day_total, day), partial(_has, (day,)))
        for day in DAYS
    ),
    *(
        Question(
            f"On which day did shop {shop} sell the most?",
            "best_day",
            2,
            partial(_best_day, shop),
            partial(_one_best_day, shop),
        )
        for shop in SHOPS
    ),
    *(
        Question(
            f"Which shop sold the most on {day}?",
            "best_shop",
            2,
            partial(_best_shop, day),
            partial(_one_best_shop, day),
        )
        for day in DAYS
    ),
    *(
        Question(f"Largest minus smallest of shop {shop}?", "range", 2, partial(_range, shop), partial(_has, (shop,)))
        for shop in SHOPS
    ),
    *(
        Question(f"Mean sales of shop {shop}?", "mean", 3, partial(_mean, shop), partial(_has, (shop,)))
        for shop in SHOPS
    ),
    *(
        Question(
            f"Total of shop {left} minus total of shop {right}?",
            "difference",
            3,
            partial(_difference, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(SHOPS, 2)
    ),
    *(
        Question(
            f"Was more sold on {left} than on {right}, yes or no?",
            "more",
            3,
            partial(_more, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(DAYS, 2)
    ),
    *(
        Question(
            f"On how many days did shop {left} sell more than shop {right}?",
            "wins",
            3,
            partial(_wins, left, right),
            partial(_has, (left, right)),
        )
        for left, right in permutations(SHOPS, 2)
    ),
    Question("Which shop sold the most in total?", "best_total", 3, _best_total, valid=_one_best_total),
)
