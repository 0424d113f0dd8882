r"""Formulas in a sentence: is a number part of one, and what stands behind the last equals sign.

The 3 of `x = 3 + 2\sqrt{5}`, the 5 of `5(2)^2` and the 2 of `3x - 2` are parts; the 14 of `2(3 + 4) = 14` is a value.
"""

from __future__ import annotations

import re

_OPERATOR = r"[-+*/^×·⋅÷−–±]"
_COMMAND = r"\\(?:times|cdot|div|pm|mp|sqrt|pi|[dtc]?frac|sin|cos|tan|log|ln)(?![A-Za-z])"
_VARIABLE = r"[A-Za-zα-ωΑ-Ω]"
_TOUCHED_BEHIND = re.compile(
    rf" ?(?:{_OPERATOR} ?(?:[\d\\(\[{{√π$]|{_VARIABLE}(?![\w'’]| [a-z]{{2}}))|{_COMMAND}|[√π^]|[xX] ?\d"
    rf"|{_VARIABLE} ?[-+*/^])"
    r"|[\[{]|\((?![A-Za-z]{2})|!(?=[\"”')*.\s]*[^\"”')*.\s]| )"  # joy ends its sentence, a factorial does not
)
_TOUCHED_BEFORE = re.compile(
    rf"(?:(?:[\d)\]}}!°%²³π]|(?<![A-Za-z'’\\]){_VARIABLE}) ?{_OPERATOR} ?|{_COMMAND} ?[{{(]?|[√π^][{{(]? ?"
    r"|[\w)\]}][(\[{]|\d ?[xX] ?)$"
)
_FACTOR_BEFORE = re.compile(r"[\d)}\]] ?$")
_FACTOR_BEHIND = re.compile(r" ?(?:[-+*/^·×]|\\cdot|\\times|[a-z](?![a-z]))")
_REACH = 12
_EQUALS_SIGN = re.compile(r"(?<![<>!=])=(?![=>])|≈|\\approx(?![A-Za-z])")
_FORMULA = re.compile(
    rf"(?:\d{{1,3}}(?:,\d{{3}})++(?!\d)|\\[A-Za-z]++|\\[^A-Za-z]|(?:arc)?(?:sin|cos|tan|log|ln)(?![A-Za-z])"
    rf"|{_VARIABLE}(?![A-Za-z])|[-+*/^×·⋅÷−–±√∠°%!(){{}}\[\]_|²³\d\s.$])++"
    r"(?:(?:mm|cm|dm|km|mg|kg|ml|met(?:er|re)s?|inches|feet|units?|degrees?|dollars?)(?:\^?\{?[23]\}?|[²³])?)?"
)
_NEXT_OF_SEVERAL = re.compile(rf"(?:,|;|\b(?:and|or)\b) ?{_VARIABLE}{{1,2}} ?$")
_LONGEST = 200


def touches_formula(text: str, start: int, end: int) -> bool:
    """Whether an operator, an opening bracket or a root joins a value to more of a formula, on either side."""
    sign = "-" if text[start] in "-−" else ""
    before = text[max(0, start - _REACH) : start] + sign
    behind = text[end : end + _REACH]
    return _TOUCHED_BEFORE.search(before) is not None or _TOUCHED_BEHIND.match(behind) is not None


def is_factor(text: str, start: int, end: int) -> bool:
    r"""Whether a symbol is multiplied with what stands beside it: the `\pi` of `\frac{7}{2} \pi` and of `\pi r^2`."""
    if not text.startswith(("\\", "π", "√"), start):
        return False
    before, behind = text[max(0, start - 3) : start], text[end : end + 8]
    return _FACTOR_BEFORE.search(before) is not None or _FACTOR_BEHIND.match(behind) is not None


def last_side(sentence: str) -> str | None:
    """What stands behind the last equals sign, where that is a formula or a number and the end of the sentence.

    >>> last_side("so f(x) = x^2 + 1.")
    'x^2 + 1'
    """
    signs = list(_EQUALS_SIGN.finditer(sentence))
    return _formula(sentence[signs[-1].end() :], bare=_is_bare(sentence)) if signs else None


def defines_several(sentence: str) -> bool:
    """Whether the last equals sign gives a value to one more name: `x = 3 and y = 2x + 1`."""
    signs = list(_EQUALS_SIGN.finditer(sentence))
    if len(signs) < 2:
        return False
    return _NEXT_OF_SEVERAL.search(sentence[signs[-2].end() : signs[-1].start()][-_REACH:]) is not None


def _formula(text: str, *, bare: bool = True) -> str | None:
    """The text as one whole formula with a number in it, without the full stop; None where it is anything else.

    Not `bare`: the sentence has words, and an exclamation mark at its end is no factorial.
    """
    if len(text) > _LONGEST:
        return None
    side = " ".join(text.strip(" \t*$.,;" if bare else " \t*$.,;!").split())
    if not _FORMULA.fullmatch(side) or not re.search(r"[\dπ]|\\pi", side) or re.search(rf"{_OPERATOR}$", side):
        return None
    if any(side.count(opening) != side.count(closing) for opening, closing in ("()", "[]", "{}")):
        return None
    return side


def is_equation(text: str) -> bool:
    """Whether a text is one equation of two formulas and nothing else: `y = 2x + 3`."""
    sides = text.split("=") if len(text) <= _LONGEST else []
    if len(sides) != 2:
        return False
    return _FORMULA.fullmatch(sides[0]) is not None and _formula(sides[1]) is not None


def _is_bare(sentence: str) -> bool:
    """Whether a sentence has no word, only variables."""
    return re.search(r"(?<!\\)\b[A-Za-z]{2}", sentence) is None
