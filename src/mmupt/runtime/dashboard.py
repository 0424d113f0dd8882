"""What stands below the lines of a run on a terminal: its signals, its guard, and the vote of the last group.

Lines of text, cut to the terminal as it is when they are drawn; none where there is no room. They are made anew only
where something has changed, and pictures are opened for a fiftieth of the time at most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

Light = Literal["good", "watch", "bad"]

SIGNALS = {"share": "majority share", "entropy": "semantic entropy", "reward": "reward", "loss": "loss"}
"""Which fields of a step have a curve, and how it is called."""
_COLOURS: dict[Light, str] = {"good": "green", "watch": "yellow", "bad": "red"}
_KEPT = 4000  # values of a curve
_LEAST_WIDTH, _LEAST_HEIGHT = 50, 14  # of a terminal that has room for more than the bar
_CLUSTERS, _PICTURE = 5, (20, 14)  # clusters shown; pixels of a picture: columns, and two to a row
_EVERY = 1.0  # seconds between two groups that are shown, or longer where their pictures take long to open
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Ballot:
    """The vote of one group: `clusters` are (answer, members), the largest first, of `size` rollouts. `picture` decodes
    the first picture, or returns None; it is called when the group is shown, which most are not."""

    question: str
    clusters: tuple[tuple[str, int], ...]
    size: int
    picture: Callable[[], Image.Image | None] | None = None


@dataclass(slots=True)
class Dashboard:
    """What is shown, and how. `clean` makes text harmless; every text goes through it."""

    clean: Callable[[str], str]
    curves: dict[str, deque[float]] = field(default_factory=dict)
    facts: str = ""
    light: Light | None = None
    said: str = ""
    ballot: Ballot | None = None
    version: int = 0
    _drawn: tuple[object, list[Text]] | None = None
    _shown: tuple[Ballot | None, list[Text]] = (None, [])
    _next: float = -1e9

    def begin(self) -> None:
        """A stage begins: what was shown belongs to the one before."""
        self.curves, self.facts, self.light, self.said, self.ballot = {}, "", None, "", None
        self.version += 1

    def step(self, fields: Mapping[str, float | str], aside: Mapping[str, float]) -> None:
        """Takes the numbers of a step in; of `aside` only `tokens_per_second` is shown."""
        for name in SIGNALS:
            value = fields.get(name)
            if isinstance(value, int | float):
                self.curves.setdefault(name, deque(maxlen=_KEPT)).append(float(value))
        if "tokens_per_second" in aside:
            self.facts = f"{aside['tokens_per_second']:,.0f} tokens a second"
        self.version += 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        if width < _LEAST_WIDTH or height < _LEAST_HEIGHT or not (self.curves or self.ballot or self.light):
            return
        due = self.ballot is not self._shown[0] and time.monotonic() >= self._next
        key = (self.version, width, height, options.ascii_only, due)
        if self._drawn is None or self._drawn[0] != key:
            if due:
                began = time.monotonic()
                pictures = console.color_system == "truecolor" and not options.ascii_only and not console.no_color
                self._shown = self.ballot, _thumbnail(self.ballot) if pictures and self.ballot else []
                now = time.monotonic()
                self._next = now + max(_EVERY, 50 * (now - began))
            # One column stays free: a full line would wrap on some terminals. Two rows are the bar's and the cursor's.
            self._drawn = key, self._lines(width - 1, options.ascii_only)[: height - 3]
        for line in self._drawn[1]:
            yield from line.render(console)
            yield Segment.line()

    def _lines(self, width: int, ascii_only: bool) -> list[Text]:
        curves = list(self.curves.items())  # the thread that trains adds to them meanwhile
        lines = [self._signal(name, list(values), width, ascii_only) for name, values in curves]
        if self.light is not None:
            mark = Text("* " if ascii_only else "● ", style=_COLOURS[self.light])
            lines.append(_cut(Text("guard  ").append_text(mark).append(self.clean(self.said)), width))
        if self.facts:
            lines.append(_cut(Text(self.facts, style="dim"), width))
        ballot, thumbnail = self._shown
        if ballot is not None:
            lines.append(Text(""))
            side = max((line.cell_len for line in thumbnail), default=-2) + 2
            vote = _vote(ballot, max(20, width - side), self.clean, ascii_only)
            for row in range(max(len(vote), len(thumbnail))):
                left = thumbnail[row].copy() if row < len(thumbnail) else Text("")
                left.pad_right(side - left.cell_len)
                lines.append(_cut(left.append_text(vote[row]) if row < len(vote) else left, width))
        return lines

    def _signal(self, name: str, values: Sequence[float], width: int, ascii_only: bool) -> Text:
        line = Text(f"{SIGNALS[name]:<17}").append(f"{values[-1]:>8.3g}", style="bold")
        if not ascii_only:
            line.append("  ").append(sparkline(values, min(48, width - 28)), style="cyan")
        return _cut(line, width)


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve of at most `width` characters, each the mean of a stretch; what is not finite leaves a gap."""
    values = list(values)
    columns = max(0, min(width, len(values)))
    stretches = [values[i * len(values) // columns : (i + 1) * len(values) // columns] for i in range(columns)]
    finite = [[v for v in stretch if abs(v) < float("inf")] for stretch in stretches]
    means = [sum(stretch) / len(stretch) if stretch else None for stretch in finite]
    there = [mean for mean in means if mean is not None]
    low, high = min(there, default=0.0), max(there, default=0.0)
    return "".join(
        " " if mean is None else _BLOCKS[round((mean - low) / (high - low) * 7) if high > low else 3] for mean in means
    )


def half_blocks(image: Image.Image, columns: int, rows: int) -> list[Text]:
    """A picture of at most `columns` x `rows` characters, two pixels to a character."""
    image = image.convert("RGB")
    image.thumbnail((columns, 2 * rows))
    width, height = image.size
    lines = []
    for y in range(0, height, 2):
        line = Text()
        for x in range(width):
            upper = "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y)))  # type: ignore[misc]
            lower = "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y + 1))) if y + 1 < height else None  # type: ignore[misc]
            line.append("▀", style=f"{upper} on {lower}" if lower else upper)
        lines.append(line)
    return lines


def _thumbnail(ballot: Ballot) -> list[Text]:
    picture = ballot.picture() if ballot.picture is not None else None
    return half_blocks(picture, _PICTURE[0], _PICTURE[1] // 2) if picture is not None else []


def _vote(ballot: Ballot, width: int, clean: Callable[[str], str], ascii_only: bool) -> list[Text]:
    lines = [_cut(Text(_one_line(clean(ballot.question[:500])), style="bold"), width)]
    rows = [(_one_line(clean(answer[:200])), count, "cyan" if i == 0 else "blue")
            for i, (answer, count) in enumerate(ballot.clusters[:_CLUSTERS])]  # fmt: skip
    unread = ballot.size - sum(count for _, count in ballot.clusters)
    others = sum(count for _, count in ballot.clusters[_CLUSTERS:])
    rows += [("other answers", others, "blue")] if others else []
    rows += [("unreadable", unread, "dim")] if unread else []
    names = min(max((cell_len(name) for name, _, _ in rows), default=0), max(6, width // 3))
    room = max(1, min(30, width - names - 8))
    for name, count, style in rows:
        share = count / max(1, ballot.size)
        filled = max(1, round(share * room))
        bar = ("#" if ascii_only else "█") * filled + " " * (room - filled)
        line = Text(set_cell_size(name, names)).append("  ").append(bar, style=style).append(f" {share:4.0%}")
        lines.append(_cut(line, width))
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.replace("<image>", " ").split())


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="crop")
    return text
