"""Bad rows, and the one message that names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 6  # bad rows that a message names: the first, and up to five others


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row left out: `where` it stands (file:row) and why, beginning with the column."""

    where: str
    reason: str


def bad_rows_message(bad: Sequence[SkippedRow], *, count: int, none_left: bool, advice: str | None) -> str:
    """What is wrong with a source that has `count` bad rows, of which `bad` holds the first (`LISTED` are enough).

    `advice` says how bad rows are left out, None where they were; `none_left` that no row can be used.
    """
    first, shown = bad[0], bad[1:LISTED]
    others = count - 1
    lines = [f"{first.where}: {first.reason}"]
    if others:
        listed = f"{others} other bad row" + ("s" if others > 1 else "")
        lines.append(f"{listed}{f', the first {len(shown)} of them' if others > len(shown) else ''}:")
        lines += [f"  - {row.where}: {row.reason}" for row in shown]
    if none_left:
        lines.append("No usable row is left.")
    if advice:
        lines.append(advice)
    return "\n".join(lines)
