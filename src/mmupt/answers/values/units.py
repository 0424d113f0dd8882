r"""Numbers with a unit: `45 km`, `5 square centimetres`, `9\pi cm^2`, `60 miles per hour`, `2 h 15 min`.

A unit has one name whatever its spelling: symbol, full word, singular or plural, British or American. Nothing is
converted (`1 m` is not `100 cm`): to convert is often what a question asks for. Only a quantity in several units is
counted in its smallest: `2 h 15 min` is `135 min`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from mmupt.answers.values.words import leading_number

_SPELLINGS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "dm": "decimeter decimetre", "m": "meter metre",
    "km": "kilometer kilometre", "in": "inch inches", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "mg": "milligram", "g": "gram gramme", "kg": "kilogram kilogramme kilo", "lb": "lbs pound", "oz": "ounce",
    "ml": "mL milliliter millilitre", "l": "L liter litre", "s": "sec secs second", "min": "mins minute",
    "h": "hr hrs hour", "day": "", "week": "wk", "month": "", "year": "yr yrs", "N": "newton", "J": "joule",
    "W": "watt", "kW": "kilowatt", "V": "volt", "A": "amp ampere", "Hz": "hertz", "Pa": "pascal", "K": "kelvin",
    "C": "celsius", "F": "fahrenheit", "rad": "radian", "cent": "¢", "mi/h": "mph", "km/h": "kph kmh",
}  # fmt: skip
_NAMES = {word: name for name, words in _SPELLINGS.items() for word in (name, *words.split())}
_SYMBOLS = "|".join(sorted((re.escape(n) for n in _NAMES if len(n) <= 3), key=len, reverse=True))
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_CURRENCIES = {"dollar", "usd", "euro", "eur", "rupee", "yuan", "yen"}  # carry nothing, as in front of a number
_SMALLER = {
    "week": ("day", 7), "day": ("h", 24), "h": ("min", 60), "min": ("s", 60), "year": ("month", 12),
    "yd": ("ft", 3), "ft": ("in", 12), "lb": ("oz", 16), "km": ("m", 1000), "m": ("cm", 100), "kg": ("g", 1000),
}  # fmt: skip

_POWER = r"(?:\s*\^\s*\{?\s*-?[0-9]\s*\}?)?"
_SUFFIX = re.compile(
    r"(?P<number>.*?(?:[0-9)}]|\\pi(?![A-Za-z])))\s*(?P<unit>(?:"
    rf"(?:(?:{_SYMBOLS})(?![A-Za-z])(?:[23](?![0-9]))?|(?:(?<=\s)|(?<=[0-9])(?=square|cubic|sq\b))"
    r"[^\W\d_]{2}[^\d\\=+*<>(){}^:/]{0,58})"
    rf"{_POWER}(?:\s*/\s*[A-Za-z]{{1,10}}{_POWER})?))"
)
_PART = re.compile(r"([0-9][0-9.,/]*)\s*([A-Za-z]{1,12})\.?(?:\s*,|\s+and(?=\s)|\s*,\s*and(?=\s))?\s*")
_BRACED_UNIT = re.compile(r"(?<=[0-9}\s])\{\s*(?:(?P<glued>square|cubic)(?=[a-z]))?([A-Za-z][A-Za-z ]{1,40})\s*\}$")
_NO_UNIT = re.compile(r"(?:and|or|to|plus|minus|times|by|am|pm|sin|cos|tan|log|ln|pi|sqrt|percent)\b", re.IGNORECASE)
_EXPONENT = re.compile(r"\s*\^\s*\{?\s*(-?[0-9])\s*\}?\s*$|(?<=m|n|t)([23])$")
_MAX_LENGTH = 200


def quantity(text: str, read: Callable[[str], Fraction | None]) -> tuple[Fraction, str] | None:
    r"""The number and the unit of a tidied answer such as `45 cm ^{2}` or `3 minutes per day`, or None.

    `read` gives the value of the part in front of the unit, or None where that is no number.
    """
    if len(text) > _MAX_LENGTH:
        return None
    if (several := _several_units(text, read)) is not None:
        return several
    if match := _SUFFIX.fullmatch(_BRACED_UNIT.sub(_unbraced, text)):
        number, unit = match["number"], match["unit"]
        if _NO_UNIT.match(unit) or (len(unit) <= 2 and unit not in _NAMES and unit.casefold() not in _NAMES):
            return None  # `3 xy` is a product
        value = read(number)
        return None if value is None else (value, unit_name(unit))
    if (found := leading_number(text)) and found[1] and len(found[1].split()) <= 3 and not _NO_UNIT.match(found[1]):
        return (found[0], unit_name(found[1])) if found[1].replace(" ", "").isalpha() else None
    return None


def unit_name(unit: str) -> str:
    """The one name of a unit, whatever its spelling; words that are no known unit are folded and made singular.

    >>> unit_name("square centimeters"), unit_name("km per hour"), unit_name("Kilometres/h"), unit_name("votes cast")
    ('cm^2', 'km/h', 'km/h', 'vote cast')
    """
    over = re.split(r"\s*/\s*|(?:^|\s+)per(?:\s+|$)", unit.replace(",", " ").replace("$", " ").strip())
    return "/".join(_factor(part) for part in over)


def is_part_of(written: str, unit: str) -> bool:
    """Whether a unit's name is made of some of the words of another: `min` where the unit is `min/day`."""
    return _words(written) <= _words(unit)


def _unbraced(match: re.Match[str]) -> str:
    """`{squareinches}`, as sources write units whose \\text and spaces were lost, is `square inches`."""
    return f" {match['glued'] or ''} {match[2]}".replace("  ", " ")


def _words(name: str) -> set[str]:
    return set(re.split(r"[/ ]", name)) - {""}


def _factor(text: str) -> str:
    power = 1
    if match := _EXPONENT.search(text):
        power, text = int(match[1] or match[2]), text[: match.start()]
    words = text.replace(".", " ").split()
    for end in (0, -1):
        if len(words) > 1 and words[end].casefold() in _POWERS:
            power *= _POWERS[words.pop(end).casefold()]
    if len(words) == 2 and words[0].casefold() in ("degree", "degrees", "deg"):  # degrees Celsius
        words = words[1:]
    name = " ".join(name for word in words if (name := _one_name(word)) not in _CURRENCIES)
    return f"{name}^{power}" if power != 1 else name


def _one_name(word: str) -> str:
    if word in _NAMES:
        return _NAMES[word]
    folded = word.casefold()
    single = folded[:-1] if len(folded) > 3 and folded.endswith("s") and not folded.endswith("ss") else folded
    return _NAMES.get(folded) or _NAMES.get(single) or single


def _several_units(text: str, read: Callable[[str], Fraction | None]) -> tuple[Fraction, str] | None:
    """`2 hours 15 minutes`, each unit smaller than the one before, counted in the last."""
    total, unit, previous, position, count = Fraction(0), "", "", 0, 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (value := read(match[1])) is None:
            return None
        name = "min" if match[2] == "m" and unit == "h" else _one_name(match[2])  # 2h 48m
        while count and unit != name:
            if unit not in _SMALLER:
                return None
            unit, factor = _SMALLER[unit]
            total *= factor
        if name == previous:
            return None
        total, unit, previous, position, count = total + value, name, name, match.end(), count + 1
    return (total, unit) if count > 1 else None
