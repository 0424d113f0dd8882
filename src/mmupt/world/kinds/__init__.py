"""The picture kinds. A new one is one file and one line here."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.world.kinds import bars, board, clock, dice, grouped_bars, sales, shapes, table
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
    "board": PictureKind(board.Board, board.QUESTIONS),
    "sales": PictureKind(sales.Sales, sales.QUESTIONS),
    "grouped_bars": PictureKind(grouped_bars.GroupedBars, grouped_bars.QUESTIONS),
}

SMALL_KINDS = ("dice", "shapes", "bars", "table", "clock")
"""Four things to read or fewer, in pictures of a few cells: what a tiny model learns in minutes."""

MEDIUM_KINDS = ("board", "sales", "grouped_bars")
"""Six to thirty-six things to read, and questions of several steps: for the medium model."""
