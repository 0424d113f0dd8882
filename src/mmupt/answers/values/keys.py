r"""An answer's canonical key: what kind of answer it is, and its value.

The readers of the kinds are asked one after another; the first that knows the text decides. How keys make answers the
same is told in `equivalence.py`.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from mmupt.answers.text import MAX_LENGTH, tidy
from mmupt.answers.values.collections import collection_key
from mmupt.answers.values.intervals import interval_of_inequality
from mmupt.answers.values.kinds import Key, number_and_unit, numeric
from mmupt.answers.values.numbers import rational
from mmupt.answers.values.ratios import ratio_key
from mmupt.answers.values.symbolic import symbolic_key
from mmupt.answers.values.times import time_key
from mmupt.answers.values.units import quantity
from mmupt.answers.values.words import leading_number

LONE_LETTER = re.compile(r"[(\[{]?\s*([A-Za-z])\s*[)\]}.:]?")
"""A letter alone, the way options are named: `B`, `(B)`, `B.`, `b)`."""
_LABEL = re.compile(r"\([A-Z]\)\s+(?=\S)")  # of an option, although the choices are not known
_ARITHMETIC = re.compile(r"\\(?:sqrt|frac|pi)|[\^(√]|sqrt")
_MAX_SIDES = 8
_COLON = re.compile(r"(?<=[0-9])\s*:\s*(?=[0-9])")
_HALF_DAY = re.compile(r"(?<=[0-9])\s?([ap])\.?\s?m\b\.?")
_ARTICLE = re.compile(r"(?:the|an?)\s+(?=[^\W\d_]{2})")
_VERDICT = re.compile(
    r"(yes|no)(?:\s*[,;:!]\s*|\s*\.\s+(?![0-9])|\s+(?=(?:it|they|he|she|there|this|that|we|you|i)\s))(?!.*\b(?:yes|no)\b).*"
)


def key_of(answer: str) -> Key:
    """The key of an answer on its own, without choices. Never raises: text nobody can interpret is its own key."""
    if len(answer) > MAX_LENGTH:
        return ("text", _fold(answer))  # too long to be looked into, or kept in a cache
    return _short_key(answer)


@lru_cache(maxsize=16_384)
def measured(answer: str) -> tuple[Fraction | None, str]:
    """The number of an answer and its unit as written ("" where it has none); a percent sign is taken for a unit."""
    text = tidy(answer) if len(answer) <= MAX_LENGTH else ""
    if text.endswith("%"):
        return _real(text.removesuffix("%").rstrip()), "%"
    return number_and_unit(key_of(answer))


@lru_cache(maxsize=16_384)
def _short_key(answer: str) -> Key:
    text = tidy(answer)
    if (label := _LABEL.match(text)) and (value := _single(text[label.end() :].strip())):
        return value
    return _single(text) or collection_key(text, _single) or ("text", _fold(text))


def _single(text: str) -> Key | None:
    """Of one thing: a number, a quantity, a time, a ratio, infinity or an expression."""
    if (number := _value(text, exactly=True)) is not None:
        return ("number", number)
    if (time := time_key(text)) is not None:
        return time
    if (parts := quantity(text, _value)) is not None:
        return ("quantity", parts)
    if (number := _of_equal_sides(text)) is not None:
        return ("number", number)
    sign = text.removesuffix(r"\infty").strip() if text.endswith(r"\infty") else None
    if sign is not None and sign in ("", "+", "-"):
        return ("infinity", -1 if sign == "-" else 1)
    return ratio_key(text, _term) or interval_of_inequality(text, _bound) or symbolic_key(text)


def _of_equal_sides(text: str) -> Fraction | None:
    r"""The value of `\frac{15}{125} = \frac{3}{25}`, `6 + 4 = 10`, `x = 6/8 = 3/4`: one number in several spellings.

    Sides that differ say nothing; letters alone in front name what is asked for.
    """
    if not 1 <= text.count("=") <= _MAX_SIDES or any(sign in text for sign in ("<=", ">=", "!=", ":=")):
        return None
    sides = [side.strip() for side in text.split("=")]
    if sides[0].lstrip("\\").isalpha():
        del sides[0]
    values = {_real(side) for side in sides}
    return values.pop() if len(sides) > 1 and len(values) == 1 else None


def _bound(text: str) -> Key | None:
    """An end of an interval; letters alone are none."""
    return None if text.isalpha() else _single(text)


def _value(text: str, exactly: bool = False) -> Fraction | None:
    r"""A number in digits or words; unless `exactly` also one such as `9\pi`, in front of a unit."""
    if (number := rational(text)) is not None:
        return number
    if (found := leading_number(text)) and not found[1]:
        return found[0]
    return None if exactly or not _ARITHMETIC.search(text) else _real(text)


def _real(text: str) -> Fraction | None:
    key = _term(text)
    return numeric(key) if key else None


def _term(text: str) -> Key | None:
    number = rational(text)
    return symbolic_key(text) if number is None else ("number", number)


def _fold(text: str) -> str:
    """Case, white space, hyphens and a leading article folded; the brackets of a lone letter and quotes dropped; LaTeX
    without any white space. `Yes, it is` is `yes`."""
    label = LONE_LETTER.fullmatch(text) if len(text) < 10 else None
    if label:
        return label[1].casefold()
    folded = text.strip("\"'").casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    folded = _HALF_DAY.sub(r" \1m", _COLON.sub(":", folded))
    if "\\" in folded:
        return "".join(folded.split())
    folded = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", folded)
    folded = " ".join(folded.split()).rstrip("!?").rstrip() or folded
    if len(folded) <= MAX_LENGTH and (verdict := _VERDICT.fullmatch(folded)):
        return verdict[1]
    return _ARTICLE.sub("", folded, count=1) if _ARTICLE.match(folded) else folded
