"""One clock at a quarter hour; rim and hands have colors of their own."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from mmupt.world.chains import commas
from mmupt.world.draw import BLACK, CELL, COLORS, FINE, WHITE, fine_picture
from mmupt.world.scenes import Question, Scene, Solved, look, match_contents

HOURS = tuple(range(1, 13))
MINUTES = (0, 15, 30, 45)
CLOCK_COLORS = tuple(COLORS)
PARTS = ("rim", "hour hand", "minute hand")

_COLOR = "(red|blue|green|yellow)"
_ENTRY = re.compile(rf"(1[0-2]|[1-9]):(00|15|30|45)-{_COLOR}-{_COLOR}-{_COLOR}")
_MIDDLE = CELL  # the picture is two cells wide


def clock_text(hour: int, minute: int) -> str:
    """`3:05`."""
    return f"{hour}:{minute:02d}"


def later(hour: int, minute: int, minutes: int) -> tuple[int, int]:
    """The time so many minutes later, on a dial of twelve hours: hour 1..12 and minute."""
    total = (hour % 12 * 60 + minute + minutes) % 720
    return (total // 60 or 12), total % 60


@dataclass(frozen=True, slots=True)
class Clock(Scene):
    """`colors` are those of rim, hour hand and minute hand; 12 * 4 * 4^3 = 3,072 different pictures."""

    hour: int
    minute: int
    colors: tuple[str, ...]
    kind = "clock"

    @classmethod
    def random(cls, rng: Random) -> Self:
        return cls(rng.choice(HOURS), rng.choice(MINUTES), tuple(rng.choices(CLOCK_COLORS, k=3)))

    @classmethod
    def parse(cls, contents: str) -> Self:
        (entry,) = match_contents(_ENTRY, contents, cls.kind, (1,))
        return cls(int(entry[1]), int(entry[2]), (entry[3], entry[4], entry[5]))

    def contents(self) -> str:
        return "-".join((clock_text(self.hour, self.minute), *self.colors))

    def draw(self) -> Image.Image:
        rim, hour_hand, minute_hand = (COLORS[color] for color in self.colors)

        def paint(pen: ImageDraw.ImageDraw) -> None:
            for radius, color in ((27, rim), (23, WHITE)):
                low, high = (_MIDDLE - radius) * FINE, (_MIDDLE + radius) * FINE - 1
                pen.ellipse((low, low, high, high), fill=color)
            for mark in range(12):
                inner = 18 if mark % 3 == 0 else 20.5
                pen.line((*_at(mark / 12, inner), *_at(mark / 12, 22)), fill=BLACK, width=int(1.5 * FINE))
            _hand(pen, self.minute / 60, 20, 2.5, minute_hand)
            _hand(pen, (self.hour + self.minute / 60) / 12, 12, 5, hour_hand)
            pen.ellipse((*_corner(-2.5), *_corner(2.5)), fill=BLACK)

        return fine_picture(2 * CELL, 2 * CELL, paint)

    def describe(self) -> str:
        parts = (f"{part} {color}" for part, color in zip(PARTS, self.colors, strict=True))
        return commas((clock_text(self.hour, self.minute), *parts))

    def misread(self, rng: Random, wrong: float) -> Self:
        """The hour is taken for one beside it; minutes and colors for any other."""
        beside = [self.hour, later(self.hour, 0, 60)[0], later(self.hour, 0, -60)[0]]
        return type(self)(
            look(self.hour, beside, rng, wrong),
            look(self.minute, MINUTES, rng, wrong),
            tuple(look(color, CLOCK_COLORS, rng, wrong) for color in self.colors),
        )


def _at(turn: float, radius: float) -> tuple[float, float]:
    """The point at that part of a full turn from twelve o'clock, in fine pixels."""
    angle = 2 * math.pi * turn
    return (_MIDDLE + radius * math.sin(angle)) * FINE, (_MIDDLE - radius * math.cos(angle)) * FINE


def _corner(offset: float) -> tuple[float, float]:
    return (_MIDDLE + offset) * FINE, (_MIDDLE + offset) * FINE


def _hand(pen: ImageDraw.ImageDraw, turn: float, length: float, width: float, color: tuple[int, int, int]) -> None:
    pen.line((*_at(turn, 0), *_at(turn, length)), fill=color, width=int(width * FINE))


def _hour(scene: Clock) -> Solved:
    return Solved(f"hour {scene.hour}", str(scene.hour))


def _minute(scene: Clock) -> Solved:
    return Solved(f"minute {scene.minute}", str(scene.minute))


def _time(scene: Clock) -> Solved:
    text = clock_text(scene.hour, scene.minute)
    return Solved(f"hour {scene.hour}, minute {scene.minute}: {text}", text)


def _later(minutes: int, scene: Clock) -> Solved:
    now, then = clock_text(scene.hour, scene.minute), clock_text(*later(scene.hour, scene.minute, minutes))
    return Solved(f"{now}: {minutes} minutes later {then}", then)


def _angle(scene: Clock) -> Solved:
    angle = 6 * scene.minute
    return Solved(f"minute {scene.minute}: {scene.minute}*6={angle}", str(angle))


def _color(part: int, scene: Clock) -> Solved:
    return Solved(f"{PARTS[part]} {scene.colors[part]}", scene.colors[part])


QUESTIONS: tuple[Question, ...] = (
    Question("Which hour does the clock show?", "hour", 1, _hour),
    Question("How many minutes past the hour?", "minute", 1, _minute, unit="minutes"),
    *(Question(f"Which color is the {part}?", "color", 1, partial(_color, i)) for i, part in enumerate(PARTS)),
    Question("What time is it?", "time", 2, _time),
    Question("Angle of the minute hand in degrees?", "angle", 2, _angle, unit="degrees"),
    *(
        Question(f"What time is it {minutes} minutes later?", "later", 3, partial(_later, minutes))
        for minutes in (15, 30, 60)
    ),
)
