"""Text for people, past every interpretation."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """To the terminal as it is: paths and values of the user are text, never markup."""
    print(message, file=sys.stderr, flush=True)
