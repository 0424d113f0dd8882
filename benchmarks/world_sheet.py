"""Draws docs/figures/world.png: a picture of every kind of the offline world, with a question and its chain.

python benchmarks/world_sheet.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from mmupt.world.kinds import KINDS, MEDIUM_KINDS, SMALL_KINDS

ASKED = {
    "dice": "sum",
    "shapes": "more",
    "bars": "mean",
    "table": "evens",
    "clock": "later",
    "board": "difference",
    "sales": "wins",
    "grouped_bars": "highest",
}
"""The kind of question shown beside each kind of picture."""

SCALE = 2
WIDTH, MARGIN, LINE = 940, 16, 17
INK, PALE, PAPER = (30, 30, 30), (110, 110, 110), (246, 246, 244)


def main(file: Path) -> None:
    columns = [_column(names) for names in (SMALL_KINDS, MEDIUM_KINDS)]
    height = max(column.height for column in columns)
    sheet = Image.new("RGB", (WIDTH, height + MARGIN), PAPER)
    for index, column in enumerate(columns):
        sheet.paste(column, (index * WIDTH // 2, 0))
    sheet.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, optimize=True)


def _column(names: tuple[str, ...]) -> Image.Image:
    """Pictures below each other, words to their right or below them where they are wide."""
    column = Image.new("RGB", (WIDTH // 2, 2000), PAPER)
    pen = ImageDraw.Draw(column)
    y = MARGIN
    for name in names:
        rng = Random(f"sheet/{name}")
        scene = KINDS[name].scene.random(rng)
        asked = [q for q in KINDS[name].questions if q.kind == ASKED[name] and q.valid(scene)]
        question = rng.choice(asked)
        picture = scene.draw()
        picture = picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST)
        column.paste(picture, (MARGIN, y))
        beside = picture.width < WIDTH // 5
        x, top = (picture.width + 2 * MARGIN, y) if beside else (MARGIN, y + picture.height + 6)
        lines = [(name, PALE), (question.text, INK), *((line, INK) for line in _wrapped(question.solve(scene).chain))]
        for number, (text, ink) in enumerate(lines):
            pen.text((x, top + LINE * number), text, fill=ink, font=ImageFont.load_default(13))
        y = max(y + picture.height, top + LINE * len(lines)) + MARGIN
    return column.crop((0, 0, column.width, y))


def _wrapped(text: str, length: int = 48) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= length:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "figures" / "world.png"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
