"""What a check has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "error"]
ROWS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` says what is so, `fix` what to do about it. "error": a run would stop; "warning": it would go on, and
    perhaps not as it is meant. `rows` are ids of rows, all of them.

    >>> Finding("rows", "warning", "2 rows ask the same", "leave one out", rows=("q1", "q7")).level
    'warning'
    """

    check: str
    level: Level
    text: str
    fix: str | None = None
    rows: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"check": self.check, "level": self.level, "text": self.text, "fix": self.fix, "rows": list(self.rows)}


def listed(ids: Sequence[str]) -> str:
    """The first few of many ids.

    >>> listed(["a", "b"])
    'a, b'
    """
    more = f" and {len(ids) - ROWS_SHOWN} more" if len(ids) > ROWS_SHOWN else ""
    return ", ".join(ids[:ROWS_SHOWN]) + more


def count(number: int, noun: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
