r"""Numbers as people write them in digits, read exactly.

Integers, decimals, thousands separators, fractions (`1/2`, `\frac{1}{2}`), mixed numbers (`2 1/2`), percentages,
repeating decimals (`0.\overline{3}`), scientific notation (`1.5e3`, `1.5 \times 10^3`), with a currency or without.
Sizes are bounded: nothing here computes a power beyond `10^400`.
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
_CURRENCY_BEFORE = re.compile(r"(?:US|USD|EUR|GBP|CNY|RMB|JPY|INR|Rs\.?)\s*(?=[-+.0-9$])")
_CURRENCY_BEHIND = re.compile(
    r"(?<=[0-9.])\s*(?:dollars?|euros?|rupees?|yuan|yen|USD|EUR|GBP|CNY|RMB|JPY|INR)", re.IGNORECASE
)
_EUROPEAN = re.compile(r"[0-9]{1,3}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,})")
_REPEATING = re.compile(
    r"([0-9]{0,20})\.([0-9]{0,20})(?:\\(?:overline|bar|dot)\s*\{?\s*([0-9]{1,20})\s*\}?|\(([0-9]{1,20})\))"
)
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
        text = _CURRENCY_BEFORE.sub("", text, count=1) if text[:1].isalpha() else text
    text = text.rstrip(_CURRENCY).rstrip()
    if text[-1:].isalpha() and (word := _CURRENCY_BEHIND.search(text)) and word.end() == len(text):
        text = text[: word.start()]
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
    if _EUROPEAN.fullmatch(text):
        return Fraction(text.replace(".", "").replace(",", "."))
    if match := _REPEATING.fullmatch(text):
        return _repeating(match[1], match[2], match[3] or match[4])
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


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    """0.1666...: the digits up to the first period's end, less those before it, over nines and zeros."""
    top = int(whole + fixed + period) - int(whole + fixed or "0")
    return Fraction(top, (10 ** len(period) - 1) * 10 ** len(fixed))


def _scaled(value: Fraction, exponent: int) -> Fraction | None:
    return value * Fraction(10) ** exponent if abs(exponent) <= _MAX_EXPONENT else None


def _mixed(whole: str | None, top: str, bottom: str) -> Fraction | None:
    denominator = _decimal(bottom)
    if denominator == 0:
        return None
    return int(whole or 0) + _decimal(top) / denominator
