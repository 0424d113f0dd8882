"""What a run shows, on a terminal and in a file."""

from __future__ import annotations

import io
import os
import pty
import re

import pytest

from mmupt.runtime.progress import Progress

FIELDS = {
    "reward": 0.61, "share": 0.638, "entropy": 0.81, "unreadable": 0.02, "len": 17.2, "kl": 0.001, "grad": 0.52,
    "ties": 3, "lr": 1e-6, "seconds": 1.93,
}  # fmt: skip
LINE = (
    "step 12/60  reward 0.61  share 0.64  entropy 0.81  unreadable 2%  len 17  kl 0.001  grad 0.52  ties 3  "
    "lr 1.0e-06  1.9 s"
)
HOSTILE = "[bold]x[/bold] :smile: \x1b[31mred\x1b]0;title\x07 \u202eevil \ud800 \x9b2J"


def shown(file: io.StringIO) -> list[str]:
    return file.getvalue().splitlines()


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    with Progress(file) as progress:
        progress.stage("upt", 60)
        progress.step(12, 60, FIELDS)
        progress.note("rolled back")
        progress.table("Results", ["stage", "greedy"], [["start", "61.3 %"], ["upt 日本", "7 %"]])
        progress.step(1, 60, {"reward": float("nan"), "note": "[red]tie[/red]"})
    assert shown(file) == [
        LINE,
        "rolled back",
        "Results",
        "stage     greedy",
        "start     61.3 %",
        "upt 日本     7 %",
        "step  1/60  reward nan  note [red]tie[/red]",
    ]


def test_text_cannot_steer_a_terminal_nor_be_markup() -> None:
    file = io.StringIO()
    with Progress(file) as progress:
        progress.note(HOSTILE)
        progress.note("two\nlines")
    assert shown(file)[1:] == ["two", "  lines"]
    assert shown(file)[0] == "[bold]x[/bold] :smile: �[31mred�]0;title� �evil � �2J"


def test_a_narrow_encoding_does_not_stop_a_run() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Progress(file).note("60°")
    file.flush()
    assert raw.getvalue() == b"60?\n"


def test_on_a_terminal_each_line_comes_once_and_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    main, sub = pty.openpty()
    with os.fdopen(sub, "w", encoding="utf-8") as file, Progress(file) as progress:
        progress.stage("upt [x]", 60, done=11)
        progress.step(12, 60, FIELDS)
        progress.note(HOSTILE)
        progress.table("T [b]", ["stage", "greedy"], [["[red]start", "61.3 %"]])
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
    text = output.decode()
    assert text.count(LINE) == 1
    assert text.count("[bold]x[/bold] :smile: �[31mred�]0;title� �evil � �2J") == 1
    assert "[red]start" in text
    assert "T [b]" in text
    assert "upt [x]" in text
    assert re.search("12/60", text)
