"""Times of the day: `3:45 PM`, `15:45`, `3:45`, `4 o'clock`."""

from __future__ import annotations

import re

from mmupt.answers.values.kinds import Key

_TIME = re.compile(
    r"([0-9]{1,2})(?:\s*:\s*([0-5][0-9])(?:\s*:\s*([0-5][0-9]))?)?\s*(?:([ap])\s?\.?\s?m\.?|(o['’`]?\s?clock))?",
    re.IGNORECASE,
)


def time_key(text: str) -> Key | None:
    """A time in seconds since midnight, or None.

    A kind of its own ("clock") where the half of the day is left open: `3:45` may be 3:45 in the morning and 15:45.

    >>> time_key("3:45 P.M.") == time_key("15:45"), time_key("3:45"), time_key("1:2")
    (True, ('clock', 13500), None)
    """
    match = _TIME.fullmatch(text) if len(text) <= 20 else None
    if match is None or not any(match.groups()[1:]):
        return None
    hour, minute, second, half, _ = match.groups()
    hours, rest = int(hour), 60 * int(minute or 0) + int(second or 0)
    if half:
        hours = hours % 12 + (12 if half in "pP" else 0) if 1 <= hours <= 12 else 24
    if hours >= 24:
        return None
    known = bool(half) or hours == 0 or hours > 12
    return ("time" if known else "clock", 3600 * hours + rest)


def may_be(clock: Key, time: Key) -> bool:
    """Whether a time without a half of the day is this time."""
    if clock[0] != "clock" or time[0] != "time" or not isinstance(clock[1], int) or not isinstance(time[1], int):
        return False
    return (clock[1] - time[1]) % (12 * 3600) == 0
