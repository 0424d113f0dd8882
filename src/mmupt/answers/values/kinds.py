"""A canonical key, and what can be read back from one.

Keys are plain hashable tuples; which answers share a key is told in `equivalence.py`.
"""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction

Key = tuple[str, Hashable]
"""What kind of answer, and its value."""


def numeric(key: Key) -> Fraction | None:
    """The value of a key that is a real number."""
    return key[1] if key[0] == "number" and isinstance(key[1], Fraction) else None


def number_and_unit(key: Key) -> tuple[Fraction | None, str]:
    """The value of a number or quantity with its unit ("" where it has none)."""
    if key[0] == "quantity" and isinstance(key[1], tuple):
        return key[1]
    return numeric(key), ""
