r"""Sets, tuples, intervals and their unions, lists and matrices: brackets around items, each read on its own."""

from __future__ import annotations

import re
from collections.abc import Callable

from mmupt.answers.text import inner
from mmupt.answers.values.kinds import Key

_MAX_ITEMS = 20
_MAX_DEPTH = 2
_MAX_LENGTH = 500
_AND = re.compile(r",?\s+and\s+")
_OR = re.compile(r",?\s+or\s+")
_NAMED = re.compile(r"([A-Za-z](?:_\{?\w{1,4}\}?)?)\s*=\s*(.+)")
_EMPTY = re.compile(r"\\(?:emptyset|varnothing)|\\\{\s*\\\}|(?:the\s+)?empty set", re.IGNORECASE)
Read = Callable[[str], Key | None]


def collection_key(text: str, read: Read, depth: int = 0) -> Key | None:
    r"""The key of a collection all of whose items can be read, else None.

    What is written with brackets keeps kind and order. A bare list keeps its order too (options such as `3,5,4,2,1`
    and `3,4,5,1,2` differ in nothing else); alternatives (`1 or 2`, `\pm 2`) and `\{1, 2\}` are sets.
    """
    if depth > _MAX_DEPTH or len(text) > _MAX_LENGTH:
        return None
    if _EMPTY.fullmatch(text):
        return ("set", frozenset())
    if r"\cup" in text and (pieces := _split(text, r"\cup")) and len(pieces) > 1:
        return _union(pieces, read)
    if text.startswith("\\{") and text.endswith("\\}"):
        items = _items(text[2:-2], read, depth, least=1)
        return None if items is None else ("set", frozenset(items))
    if text.startswith("[[") and (rows := _matrix(text, read)) is not None:
        return rows
    if enclosed := inner(text):
        opening, content, closing = enclosed
        items = _items(content, read, depth)
        return None if items is None else ("sequence", (opening, items, closing))
    if text.count(r"\pm") == 1:
        items = _items(text.replace(r"\pm", "+") + ", " + text.replace(r"\pm", "-"), read, depth)
        return None if items is None else ("set", frozenset(items))
    if "=" in text and (values := _named_values(text, read)) is not None:
        return values
    alternatives = _OR.search(text) is not None
    items = _items(_AND.sub(", ", _OR.sub(", ", text)), read, depth)
    if items is None:
        return None
    return ("set", frozenset(items)) if alternatives else ("sequence", ("", items, ""))


def without_brackets(key: Key) -> tuple[tuple[Key, ...], str] | None:
    """The items of a sequence in order, a row or a column of a matrix, with the brackets written around them."""
    if key[0] == "sequence" and isinstance(key[1], tuple):
        opening, items, closing = key[1]
        return items, opening + closing
    if key[0] == "matrix" and isinstance(key[1], tuple):
        if len(key[1]) == 1:
            return key[1][0], ""
        if all(len(row) == 1 for row in key[1]):
            return tuple(row[0] for row in key[1]), ""
    return None


def _named_values(text: str, read: Read) -> Key | None:
    """`x = 1, y = 2`, in any order: the names say which is which. One name for all is a list of its values."""
    parts = _split(_AND.sub(", ", text), ",;")
    named = [match for part in parts if (match := _NAMED.fullmatch(part))]
    if not 2 <= len(parts) == len(named) <= _MAX_ITEMS or len({match[1] for match in named}) != len(named):
        return None
    values = [(match[1], read(match[2])) for match in named]
    return None if any(key is None for _, key in values) else ("named", frozenset(values))


def _union(pieces: list[str], read: Read) -> Key | None:
    r"""Intervals (or sets) joined by `\cup`, in any order."""
    keys = [collection_key(piece, read, _MAX_DEPTH - 1) for piece in pieces]
    known = [k for k in keys if k is not None and (k[0] == "set" or inner(pieces[0]))]
    return ("union", frozenset(known)) if len(known) == len(pieces) <= _MAX_ITEMS else None


def _matrix(text: str, read: Read) -> Key | None:
    """`[[1, 2], [3, 4]]`: rows of equal length."""
    whole = inner(text)
    if whole is None:
        return None
    rows = []
    for row in _split(whole[1], ",;"):
        bracketed = inner(row)
        if bracketed is None or bracketed[0] + bracketed[2] != "[]":
            return None
        rows.append(_items(bracketed[1], read, _MAX_DEPTH, least=1))
    known = tuple(row for row in rows if row is not None)
    if len(known) != len(rows) or len({len(row) for row in known}) != 1 or sum(map(len, known)) > _MAX_ITEMS:
        return None
    return ("matrix", known)


def _items(text: str, read: Read, depth: int, least: int = 2) -> tuple[Key, ...] | None:
    parts = _split(text, ",;")
    if not least <= len(parts) <= _MAX_ITEMS:
        return None
    named = [_NAMED.fullmatch(part) for part in parts]
    if all(named) and len({match[1] for match in named if match}) == 1:  # x = 1, x = 2; but not x = 1, y = 2
        parts = [match[2] for match in named if match]
    keys = []
    for part in parts:
        key = read(part) or collection_key(part, read, depth + 1)
        if key is None:
            return None
        keys.append(key)
    return tuple(keys)


def _split(text: str, separators: str) -> list[str]:
    r"""At commas and semicolons, or at `\cup`, outside brackets."""
    parts, depth, start, i = [], 0, 0, 0
    word = separators if separators.startswith("\\") else ""
    while i < len(text):
        c = text[i]
        depth += (c in "([{") - (c in ")]}")
        if depth <= 0 and (text.startswith(word, i) if word else c in separators):
            parts.append(text[start:i].strip())
            start = i + (len(word) or 1)
        i += 1
    return [*parts, text[start:].strip()]
