r"""An answer's canonical key: what kind of answer it is, and its value.

Keys are plain hashable tuples; how they make answers the same is told in `equivalence.py`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from fractions import Fraction
from functools import lru_cache

from mmupt.answers.numbers import rational
from mmupt.answers.symbolic import symbolic_key
from mmupt.answers.text import MAX_LENGTH, inner, tidy

Key = tuple[str, Hashable]
"""What kind of answer, and its value."""

_MAX_ITEMS = 20
_UNIT_SYMBOLS = (
    "mm|cm|dm|m|km|in|ft|yd|mi|mg|g|kg|lb|oz|ml|mL|l|L|s|sec|min|h|hr|hrs|mph|kph|N|J|W|kW|V|A|Hz|Pa|K|C|F|rad"
)
_QUANTITY = re.compile(
    rf"(?P<number>.*?[0-9)}}])\s*(?P<unit>(?:(?<=\s)[^\W\d_]{{2}}[^\d\\=+*<>(){{}}]{{0,58}}|(?:{_UNIT_SYMBOLS})(?![A-Za-z]))"
    r"(?:\s*/\s*[A-Za-z]{1,10})?\s*(?:\^\s*\{?\s*-?[0-9]\s*\}?)?)"
)
LONE_LETTER = re.compile(r"[(\[{]?\s*([A-Za-z])\s*[)\]}.:]?")
"""A letter alone, the way options are named: `B`, `(B)`, `B.`, `b)`."""
_COLON = re.compile(r"(?<=[0-9])\s*:\s*(?=[0-9])")
_HALF_DAY = re.compile(r"(?<=[0-9])\s?([ap])\.?\s?m\b\.?")
_AND = re.compile(r",?\s+(?:and|or)\s+")


def key_of(answer: str) -> Key:
    """The key of an answer on its own, without choices. Never raises: text nobody can interpret is its own key."""
    if len(answer) > MAX_LENGTH:
        return ("text", _fold(answer))  # too long to be looked into, or kept in a cache
    return _short_key(answer)


def numeric(key: Key) -> Fraction | None:
    """The value of a key that is a real number."""
    return key[1] if key[0] == "number" and isinstance(key[1], Fraction) else None


def number_and_unit(key: Key) -> tuple[Fraction | None, str]:
    """The value of a number or quantity with its unit ("" where it has none)."""
    if key[0] == "quantity" and isinstance(key[1], tuple):
        return key[1]
    return numeric(key), ""


def quantity(text: str) -> tuple[Fraction, str] | None:
    r"""The number and the unit, as folded text, of a tidied answer such as `45 cm ^{2}` or `3 minutes per day`."""
    match = _QUANTITY.fullmatch(text) if len(text) <= 200 else None
    if match is None:
        return None
    number = rational(match["number"])
    return None if number is None else (number, _fold_unit(match["unit"]))


@lru_cache(maxsize=65_536)
def _short_key(answer: str) -> Key:
    text = tidy(answer)
    single = _single(text)
    if single is not None:
        return single
    return _collection(text, depth=0) or ("text", _fold(text))


def _single(text: str) -> Key | None:
    """A number, a quantity, infinity or an expression."""
    if (number := rational(text)) is not None:
        return ("number", number)
    if (parts := quantity(text)) is not None:
        return ("quantity", parts)
    sign = text.removesuffix(r"\infty").strip() if text.endswith(r"\infty") else None
    if sign is not None and sign in ("", "+", "-"):
        return ("infinity", -1 if sign == "-" else 1)
    return symbolic_key(text)


def _collection(text: str, depth: int) -> Key | None:
    r"""A set, a tuple, an interval or a bare list, all of whose items can be read.

    A bare list keeps its order: options such as `3,5,4,2,1` and `3,4,5,1,2` differ in nothing else. Only `\{1, 2\}`
    is a set.
    """
    if depth > 2 or len(text) > 500:
        return None
    if text.startswith("\\{") and text.endswith("\\}"):
        items = _items(text[2:-2], depth)
        return None if items is None else ("set", frozenset(items))
    opening, content, closing = inner(text) or ("", _AND.sub(", ", text), "")
    items = _items(content, depth)
    return None if items is None else ("sequence", (opening, items, closing))


def _items(text: str, depth: int) -> tuple[Key, ...] | None:
    parts = _split(text)
    if not 2 <= len(parts) <= _MAX_ITEMS:
        return None
    keys = []
    for part in parts:
        key = _single(part) or _collection(part, depth + 1)
        if key is None:
            return None
        keys.append(key)
    return tuple(keys)


def _split(text: str) -> list[str]:
    """At commas and semicolons outside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c in ",;" and depth <= 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def _fold_unit(unit: str) -> str:
    return re.sub(r"[\s^{}.]+", " ", unit).strip().replace(" 2", "2").replace(" 3", "3").casefold()


def _fold(text: str) -> str:
    """Case and white space folded; the brackets of a lone letter and quotes dropped; LaTeX without any white space."""
    label = LONE_LETTER.fullmatch(text) if len(text) < 10 else None
    if label:
        return label[1].casefold()
    folded = text.strip("\"'").casefold()
    folded = _HALF_DAY.sub(r" \1m", _COLON.sub(":", folded))  # 10:15 A.M. is 10:15 am
    return "".join(folded.split()) if "\\" in folded else " ".join(folded.split())
