r"""Inequalities in one letter as the interval they describe: `x > 5` is `(5, \infty)`, `1 \leq x < 3` is `[1, 3)`."""

from __future__ import annotations

import re
from collections.abc import Callable

from mmupt.answers.values.kinds import Key

_SIGN = re.compile(r"\\(?:leqslant|geqslant|leq|geq|le|ge|lt|gt)(?![A-Za-z])|[<>]=?")
_MAX_LENGTH = 200


def interval_of_inequality(text: str, read: Callable[[str], Key | None]) -> Key | None:
    """The key of the interval, or None where the text is no inequality between one letter and one or two numbers.

    The letter itself is not kept, as in `x = 5`: the question names it.
    """
    if len(text) > _MAX_LENGTH:
        return None
    signs = [_direction(sign) for sign in _SIGN.findall(text)]
    sides = [side.strip() for side in _SIGN.split(text)]
    if not 1 <= len(signs) <= 2 or len({sign[0] for sign in signs}) != 1:
        return None
    if signs[0][0] == ">":
        signs, sides = signs[::-1], sides[::-1]
    letters = [i for i, side in enumerate(sides) if len(side) == 1 and side.isalpha()]
    if letters != [1] and not (len(signs) == 1 and len(letters) == 1):
        return None
    keys = [read(side) for i, side in enumerate(sides) if i not in letters]
    known = [key for key in keys if key is not None and key[0] in ("number", "infinity")]
    if len(known) != len(keys):
        return None
    below, above = letters[0] > 0, letters[0] < len(sides) - 1
    low: Key = known[0] if below else ("infinity", -1)
    high: Key = known[-1] if above else ("infinity", 1)
    opening = "[" if below and signs[0][1] else "("
    closing = "]" if above and signs[-1][1] else ")"
    return ("sequence", (opening, (low, high), closing))


def _direction(sign: str) -> tuple[str, bool]:
    """Which way a sign points, and whether it includes its end."""
    return (">" if sign[0] == ">" or sign.startswith(r"\g") else "<", sign.endswith("=") or "e" in sign)
