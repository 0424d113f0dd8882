"""The picture kinds. A new one is one file and one line here."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.world.kinds import bars, clock, dice, shapes, table
from mmupt.world.scenes import Question, Scene


@dataclass(frozen=True, slots=True)
class PictureKind:
    """A scene class with all questions about it."""

    scene: type[Scene]
    questions: tuple[Question, ...]


KINDS: dict[str, PictureKind] = {
    "dice": PictureKind(dice.Dice, dice.QUESTIONS),
    "shapes": PictureKind(shapes.Shapes, shapes.QUESTIONS),
    "bars": PictureKind(bars.Bars, bars.QUESTIONS),
    "table": PictureKind(table.Table, table.QUESTIONS),
    "clock": PictureKind(clock.Clock, clock.QUESTIONS),
}
