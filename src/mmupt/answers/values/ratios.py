r"""Ratios: `1:4`, `1 to 4`, `6:\pi`, `2:3:4`."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from mmupt.answers.values.kinds import Key, numeric

_BETWEEN = re.compile(r"\s*:\s*|\s+to\s+")
_MAX_TERMS = 6


def ratio_key(text: str, read: Callable[[str], Key | None]) -> Key | None:
    """A ratio of numbers in lowest terms, or None; `read` reads a term.

    A ratio is no fraction, because one part to four is one in five as often as one in four; `grade` and the options
    of a question, which fix what is asked for, take one for the other.
    """
    if len(text) > 100 or (":" not in text and " to " not in text):
        return None
    terms = _BETWEEN.split(text)
    if not 2 <= len(terms) <= _MAX_TERMS:
        return None
    values = [numeric(key) if (key := read(term)) else None for term in terms]
    if len(values) == 2 and None not in values and not all(_short(v) for v in values):
        quotient = read(rf"\frac{{{terms[0]}}}{{{terms[1]}}}")  # 6:\pi, exactly
        return None if quotient is None or numeric(quotient) is None else ("ratio", (quotient[1],))
    exact = [v for v in values if v is not None]
    if len(exact) != len(terms) or exact[-1] == 0:
        return None
    return ("ratio", tuple(v / exact[-1] for v in exact[:-1]))


def ratio_value(key: Key) -> Fraction | None:
    """The quotient of a ratio of two terms, also of one that is kept as a time because it looks like one (`5:19`)."""
    if key[0] == "clock" and isinstance(key[1], int):
        hours, minutes = key[1] // 3600, key[1] % 3600 // 60
        return Fraction(hours, minutes) if minutes and not key[1] % 60 else None
    if key[0] == "ratio" and isinstance(key[1], tuple) and len(key[1]) == 1:
        return key[1][0]
    return None


def _short(value: Fraction | None) -> bool:
    """Whether this is what was written, not an irrational number's first thirty digits."""
    return value is not None and value.denominator < 10**20
