"""Number words: `three`, `twenty-one`, `one hundred and five`, `two thirds`, `half`, `two and a half`.

Ordinals (`third`) are places and no numbers; they count only behind a number or an article, as denominators. A bare
`second` is a place or a time, so halves are `half` alone.
"""

from __future__ import annotations

import re
from fractions import Fraction

_UNDER_TWENTY = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_SMALL = {word: n for n, word in enumerate(_UNDER_TWENTY)}
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PARTS |= {f"{word}s": n for word, n in _PARTS.items() if n > 2}
_ALL = _SMALL.keys() | _TENS.keys() | _LARGE.keys() | _PARTS.keys() | {"hundred", "a", "and"}
_WORD = re.compile(r"[A-Za-z]+|[0-9]{1,6}(?=\s+and\s+a\s)")
_MAX_WORDS = 16


def leading_number(text: str) -> tuple[Fraction, str] | None:
    """The number that the first words write, as many as possible, and what stands behind; None where they write none.

    >>> leading_number("Twenty-one"), leading_number("two and a half hours"), leading_number("the third")
    ((Fraction(21, 1), ''), (Fraction(5, 2), 'hours'), None)
    """
    words: list[str] = []
    ends: list[int] = []
    position = 0
    while len(words) < _MAX_WORDS and (match := _WORD.match(text, position)):
        word = match[0].casefold()
        if word not in _ALL and not word.isdigit():
            break
        words.append(word)
        ends.append(match.end())
        position = match.end()
        while position < len(text) and text[position] in " -":
            position += 1
    for count in range(len(words), 0, -1):
        value = _value(words[:count])
        if value is not None and (ends[count - 1] == len(text) or text[ends[count - 1]].isspace()):
            return value, text[ends[count - 1] :].strip()
    return None


def _value(words: list[str]) -> Fraction | None:
    """Of all the words: a cardinal, a fraction, or a cardinal `and` a fraction."""
    if words[-1] not in _PARTS:
        cardinal = _cardinal(words)
        return None if cardinal is None else Fraction(cardinal)
    denominator, before = _PARTS[words[-1]], words[:-1]
    if not before:
        return Fraction(1, 2) if words == ["half"] else None
    if before[-1:] == ["a"]:
        top, before = 1, before[:-1]
    elif "and" in before and (last := len(before) - 1 - before[::-1].index("and")) > 0:
        numerator = _cardinal(before[last + 1 :])
        if numerator is None:
            return None
        top, before = numerator, before[: last + 1]
    else:
        numerator = _cardinal(before)
        return None if numerator is None else Fraction(numerator, denominator)
    if not before:
        return Fraction(top, denominator)
    whole = _cardinal(before[:-1]) if before[-1] == "and" else None
    return None if whole is None else whole + Fraction(top, denominator)


def _cardinal(words: list[str]) -> int | None:
    """`one hundred and five`; None where the words write no cardinal in this order."""
    if len(words) == 1 and words[0].isdigit():
        return int(words[0])
    total, group, last = 0, 0, ""  # group: the number below a thousand that is being written
    scale = 10**12
    for word in words:
        if word in _SMALL and last in ("", "hundred", "and", "large", "tens"):
            if last == "tens" and not 0 < _SMALL[word] < 10:
                return None
            group, last = group + _SMALL[word], "small"
        elif word in _TENS and last in ("", "hundred", "and", "large"):
            group, last = group + _TENS[word], "tens"
        elif word == "hundred" and last == "small" and 0 < group < 20:
            group, last = group * 100, "hundred"
        elif word in _LARGE and group and last != "and" and _LARGE[word] < scale:
            scale = _LARGE[word]
            total, group, last = total + group * scale, 0, "large"
        elif word == "and" and last in ("hundred", "large"):
            last = "and"
        else:
            return None
    return total + group if last not in ("", "and") else None
