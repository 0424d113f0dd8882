r"""Are two answers the same?

Each answer is read once into a canonical key; answers are the same when their keys are equal. So sameness is an
equivalence relation by construction, and the clusters of a vote cannot depend on the order of the rollouts.

| answer | key |
|---|---|
| `1/2`, `0.5`, `\frac{1}{2}`, `50%`, `$0.50`, `x = 0.5` | the exact number |
| `\sqrt{8}`, `2\sqrt{2}`; `x(x+1)`, `x^2+x`; `x+y=4`, `2x+2y=8` | what `symbolic.py` computes |
| `45 km`, `45\mathrm{~km}` | the exact number with its unit: `45 km` is neither `45` nor `45 m` |
| `(3, -4)`, `[0, 1)`; `1, 2`, `1 and 2` | brackets, if any, and items in order |
| `\{1, 2\}`, `\{2, 1\}` | a set of items |
| `B`, `(B)`, `B. 45 km`, `45 km` where the choices are known | the option |
| everything else | its text, folded in case and white space |

`60°` is `60`: the degree sign, currency and the period behind an answer carry nothing. A tolerance cannot be part of
an equivalence relation; where one is asked for, numbers are compared in pairs, and `vote.py` says how it clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from mmupt.answers.choices import option_index
from mmupt.answers.keys import Key, key_of, number_and_unit, numeric, quantity
from mmupt.answers.text import MAX_LENGTH, tidy


def canonical(answer: str, *, choices: Sequence[str] | None = None) -> Key:
    """The key of an answer: equal keys, same answer. Never raises; text nobody can interpret is its own key.

    >>> canonical("0.5") == canonical("1/2"), canonical("B", choices=["3", "4"]) == canonical("4", choices=["3", "4"])
    (True, True)
    """
    if choices and len(answer) <= MAX_LENGTH:
        index = option_index(answer, tuple(choices))
        if index is not None:
            return ("option", index)
    return key_of(answer)


def same(a: str, b: str, *, choices: Sequence[str] | None = None, tolerance: float = 0.0) -> bool:
    """Whether two answers say the same. `tolerance` is relative to the larger of two numbers; with 0 (the default)
    this is an equivalence relation, with more it is reflexive and symmetric only."""
    key_a, key_b = canonical(a, choices=choices), canonical(b, choices=choices)
    if key_a == key_b:
        return True
    x, y = numeric(key_a), numeric(key_b)
    return tolerance > 0 and x is not None and y is not None and within(x, y, tolerance)


def within(x: Fraction, y: Fraction, tolerance: float) -> bool:
    """Whether two numbers differ by at most `tolerance` times the larger magnitude."""
    return abs(x - y) <= Fraction(tolerance) * max(abs(x), abs(y))


def grade(
    answer: str | None,
    gold: str,
    *,
    choices: Sequence[str] | None = None,
    unit: str | None = None,
    tolerance: float = 0.0,
) -> bool:
    """Whether `answer` is correct. None (no answer could be read) never is.

    `gold` may be a value, an option's letter or an option's text. More lenient than `same` in one point, because a
    gold answer fixes what is asked for: a unit (a percent sign is one) may stand on one side only. Where `unit`, that
    of the gold answer, is known, the answer's unit must be it or some of its words.
    """
    if answer is None:
        return False
    if same(answer, gold, choices=choices, tolerance=tolerance):
        return True
    if choices and canonical(gold, choices=choices)[0] == "option":
        return False  # an option is named or it is not
    (x, answer_unit), (y, gold_unit) = _measured(answer), _measured(gold)
    if x is None or y is None or (answer_unit and gold_unit and answer_unit != gold_unit):
        return False
    if answer_unit and not gold_unit and unit is not None and not _is_unit(answer_unit, unit):
        return False
    return x == y or (tolerance > 0 and within(x, y, tolerance))


def _measured(answer: str) -> tuple[Fraction | None, str]:
    """The number and the unit of an answer, a percent sign taken for a unit."""
    text = tidy(answer)
    number = text.removesuffix("%")
    return (numeric(key_of(number)), "%") if number != text else number_and_unit(key_of(text))


def _is_unit(written: str, unit: str) -> bool:
    """`minutes` where the unit is `minutes per day`."""
    parts = quantity(f"1 {tidy(unit)}")
    full = parts[1] if parts else tidy(unit).casefold()
    return set(written.split()) <= set(full.replace(",", " ").split())
