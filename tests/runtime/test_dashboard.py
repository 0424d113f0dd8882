"""What stands below the lines of a run: within any terminal, harmless whatever the text, and cheap."""

from __future__ import annotations

import io
import os
import pty
import random
import re

import pytest
from PIL import Image
from rich.console import Console

from mmupt.runtime.dashboard import Ballot, Dashboard, half_blocks, sparkline
from mmupt.runtime.progress import Progress, _clean

HOSTILE = "[bold]x[/bold] :smile: \x1b[31mred\x1b]0;title\x07 \u202eevil \ud800 日本語 \n\n two"


def dashboard(picture: Image.Image | None = None) -> Dashboard:
    shown = Dashboard(_clean)
    for step in range(100):
        shown.step({"share": step / 100, "entropy": 1.0, "reward": float("nan")}, {"tokens_per_second": 4321.0})
    shown.light, shown.said = "watch", "step 9: the score fell"
    clusters = (("12", 9), (HOSTILE, 3), *((f"a{i}", 1) for i in range(6)))
    shown.ballot = Ballot(f"<image>{HOSTILE}", clusters, 20, lambda: picture)
    return shown


def drawn(shown: Dashboard, width: int, height: int, color: str | None = None) -> list[str]:
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=height, force_terminal=True, color_system=color, legacy_windows=False
    )  # type: ignore[arg-type]
    console.print(shown, end="")
    return file.getvalue().splitlines()


def test_it_stays_within_any_terminal() -> None:
    from rich.cells import cell_len

    shown = dashboard(Image.new("RGB", (300, 200), "red"))
    for width in range(1, 200, 3):
        for height in (1, 5, 13, 14, 20, 60):
            lines = drawn(shown, width, height)
            assert len(lines) <= max(0, height - 3) or not lines
            assert all(cell_len(line) < width for line in lines), (width, height)
            assert bool(lines) == (width >= 50 and height >= 14)


def test_what_it_says() -> None:
    lines = drawn(dashboard(), 100, 40)
    text = "\n".join(lines)
    assert lines[0].startswith("majority share       0.99  ▁") and lines[0].endswith("█")
    assert re.search("semantic entropy +1 ", text) and re.search("reward +nan ", text)
    assert "guard  ● step 9: the score fell" in text and "4,321 tokens a second" in text
    assert "[bold]x[/bold] :smile: �[31mred�]0;title� �evil � 日本語 two" in text
    assert "\x1b" not in text and "\u202e" not in text
    for part in ("12", " 45%", " 15%", "other answers", "unreadable", " 10%"):
        assert part in text


def test_a_narrow_encoding_gets_no_blocks() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    console = Console(file=file, width=80, height=40, force_terminal=True, color_system=None)
    console.print(dashboard(), end="")
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert "#####" in text and "guard  * step 9" in text


def test_pictures_only_where_every_colour_can_be_shown() -> None:
    picture = Image.new("RGB", (40, 40), (200, 10, 30))
    assert any("▀" in line and "38;2;200;10;30" in line for line in drawn(dashboard(picture), 100, 40, "truecolor"))
    for color in (None, "standard", "256"):
        assert not any("▀" in line for line in drawn(dashboard(picture), 100, 40, color))


def test_half_blocks_are_the_picture() -> None:
    rng = random.Random(0)
    image = Image.new("RGB", (6, 5))
    pixels = {(x, y): (rng.randrange(256), rng.randrange(256), rng.randrange(256)) for x in range(6) for y in range(5)}
    for place, colour in pixels.items():
        image.putpixel(place, colour)
    lines = half_blocks(image, 20, 7)
    assert [line.plain for line in lines] == ["▀" * 6] * 3
    for (x, y), colour in pixels.items():
        style = str(lines[y // 2].spans[x].style)
        part = style.split(" on ")[y % 2]
        assert part == "#{:02x}{:02x}{:02x}".format(*colour)
    assert max(line.cell_len for line in half_blocks(Image.new("RGB", (999, 10)), 20, 7)) == 20
    assert len(half_blocks(Image.new("RGB", (10, 999)), 20, 7)) == 7


def test_sparklines_are_means_of_stretches() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([3.0, 3.0], 5) == "▄▄" and sparkline([], 5) == "" and sparkline([1.0], 0) == ""
    assert sparkline([0.0, float("nan"), float("inf"), 1.0], 4) == "▁  █"
    values = [random.Random(1).random() for _ in range(1000)]
    assert len(sparkline(values, 37)) == 37


def test_a_stage_begins_with_nothing_of_the_last_one() -> None:
    shown = dashboard()
    shown.begin()
    assert drawn(shown, 100, 40) == []


def test_on_a_terminal_and_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal everything appears; with MMUPT_PLAIN a terminal gets what a file gets."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "40")
    outputs = {}
    for plain in ("", "1"):
        monkeypatch.setenv("MMUPT_PLAIN", plain)
        main, sub = pty.openpty()
        with os.fdopen(sub, "w", encoding="utf-8") as file, Progress(file) as progress:
            progress.stage("upt", 9)
            progress.guard("bad", "step 2: it fell")
            progress.vote(Ballot("Add all dice.", (("12", 3),), 4))
            progress.step(2, 9, {"share": 0.5, "seconds": 1.0}, {"tokens_per_second": 77.0})
        os.set_blocking(main, False)
        output = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
        os.close(main)
        outputs[plain] = output.decode()
    assert outputs["1"] == "step 2/9  share 0.50  1.0 s\r\n"
    for part in ("step 2/9  share 0.50  1.0 s", "majority share", "it fell", "Add all dice.", "77 tokens a second"):
        assert part in outputs[""]
