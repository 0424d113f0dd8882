r"""Numbers as people write them, read exactly.

Integers, decimals, thousands separators, fractions (`1/2`, `\frac{1}{2}`), mixed numbers (`2 1/2`), percentages,
scientific notation (`1.5e3`, `1.5 \times 10^3`), with a currency sign or without. Sizes are bounded: nothing here
computes a power beyond `10^400`.
"""

from __future__ import annotations

import re
from fractions import Fraction

_MAX_DIGITS = 1000
_MAX_EXPONENT = 400

_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")
_TEN_TO = r"10\s*\^\s*(?:\{\s*([+-]?[0-9]{1,4})\s*\}|([+-]?[0-9]{1,4}))"
_SCALED = re.compile(rf"({_DECIMAL})(?:[eE]([+-]?[0-9]{{1,4}})|\s*(?:\\times|\\cdot|\*|x)\s*{_TEN_TO})?")
_POWER_OF_TEN = re.compile(_TEN_TO)
_SLASHED = re.compile(rf"(?:([0-9]+)\s+)?({_DECIMAL})\s*/\s*({_DECIMAL})")
_FRAC = re.compile(
    rf"(?:([0-9]+)\s*)?\\frac\s*(?:\{{\s*([+-]?{_DECIMAL})\s*\}}|([0-9]))\s*(?:\{{\s*([+-]?{_DECIMAL})\s*\}}|([0-9]))"
)
_SIGN = re.compile(r"[+-]\s*")
_CURRENCY = "$€£¥₹"
_PERCENT = re.compile(r"\s*(?:%|percent|per cent)\s*$", re.IGNORECASE)


def rational(text: str) -> Fraction | None:
    r"""The number that the whole text writes, exactly, or None.

    >>> rational("-2 1/2"), rational(r"\frac{1}{300}"), rational("$1,250.50"), rational("50%"), rational("5 km")
    (Fraction(-5, 2), Fraction(1, 300), Fraction(2501, 2), Fraction(1, 2), None)
    """
    text = text.strip()
    if len(text) > _MAX_DIGITS or not any(c in "0123456789" for c in text):
        return None
    sign = 1
    for _ in range(2):  # the sign stands before the currency or behind it
        match = _SIGN.match(text)
        if match and sign == 1:
            sign = -1 if text[0] == "-" else 1
            text = text[match.end() :]
        text = text.lstrip(_CURRENCY).lstrip()
    text = text.rstrip(_CURRENCY).rstrip()
    if match := _SPACED_THOUSANDS.match(text):
        text = match[0].replace(" ", "") + text[match.end() :]
    percent = _PERCENT.search(text)
    if percent:
        text = text[: percent.start()]
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
        if text[:1] == "-":
            sign, text = -sign, text[1:].strip()
    value = _unsigned(text)
    if value is None:
        return None
    return sign * (value / 100 if percent else value)


def _unsigned(text: str) -> Fraction | None:
    if match := _SCALED.fullmatch(text):
        exponent = next((e for e in match.groups()[1:] if e is not None), "0")
        return _scaled(_decimal(match[1]), int(exponent))
    if match := _POWER_OF_TEN.fullmatch(text):
        return _scaled(Fraction(1), int(match[1] or match[2]))
    if match := _SLASHED.fullmatch(text):
        return _mixed(match[1], match[2], match[3])
    if match := _FRAC.fullmatch(text):
        return _mixed(match[1], match[2] or match[3], match[4] or match[5])
    return None


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip(".") if text[-1] == "." else text.replace(",", ""))


def _scaled(value: Fraction, exponent: int) -> Fraction | None:
    return value * Fraction(10) ** exponent if abs(exponent) <= _MAX_EXPONENT else None


def _mixed(whole: str | None, top: str, bottom: str) -> Fraction | None:
    denominator = _decimal(bottom)
    if denominator == 0:
        return None
    return int(whole or 0) + _decimal(top) / denominator
