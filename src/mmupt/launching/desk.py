"""Where the workers of a run on a cluster tell what has to reach the one who started it: lines, and how it ended.

One object for the whole run, beside the driver; it outlives every worker. No Ray in here: `launching/ray.py` makes an
actor of it, whose methods return at once.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

Stream = Literal["out", "err"]


class Desk:
    """Attempts are counted from 1; each is a group of workers that begins anew, or goes on from the last checkpoint."""

    def __init__(self) -> None:
        self._lines: list[tuple[Stream, str]] = []
        self._attempts = 0
        self._verdict: str | None = None
        self._failure: str | None = None

    def begin(self) -> int:
        """The number of the attempt that begins; what the one before it has failed of is forgotten."""
        self._attempts += 1
        self._failure = None
        return self._attempts

    def attempts(self) -> int:
        return self._attempts

    def say(self, stream: Stream, text: str) -> None:
        """A line, or several, for the terminal of the driver."""
        self._lines.append((stream, text))

    def take(self) -> list[tuple[Stream, str]]:
        """What was said since the last call, in order."""
        taken, self._lines = self._lines, []
        return taken

    def judge(self, message: str) -> None:
        """A user's mistake, which no further attempt would mend. The first one counts."""
        if self._verdict is None:
            self._verdict = message

    def verdict(self) -> str | None:
        return self._verdict

    def fail(self, text: str) -> None:
        """What else a worker of this attempt has failed of, in full. The first counts: others fail because of it."""
        if self._failure is None:
            self._failure = text

    def failure(self) -> str | None:
        return self._failure


class Lines(io.TextIOBase):
    """A text file that is no terminal; every whole line goes to `tell`."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._begun = tell, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._tell(whole)
        return len(text)

    def close(self) -> None:
        if self._begun:
            self._tell(self._begun)
            self._begun = ""
        super().close()
