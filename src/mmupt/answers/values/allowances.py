r"""Where `grade` is more lenient than `same`: the gold answer (or the options of a question) fixes what is asked for,
so that one side may leave out what only the other writes.

| on one side only | example |
|---|---|
| a unit or a percent sign | `45` and `45 km`, `30` and `30%`; never `45 m` and `45 km` |
| the half of the day | `3:45` and `3:45 PM` |
| a ratio written as a fraction | `1:4` and `\frac{1}{4}` |
| brackets | `2, 3` and `(2, 3)` or `[2, 3]`, or a row or column vector; never `(2, 3)` and `[2, 3]` |
| that the order means nothing | `\{2, 3\}` and `3, 2`; `\{5\}` and `5` |
| the name in front of a function | `y = 2x + 1` and `2x - y = -1` are the same line |

None of these is an equivalence relation (`45 m`, `45`, `45 km`), so none is part of the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from mmupt.answers.text import MAX_LENGTH, tidy
from mmupt.answers.values.collections import without_brackets
from mmupt.answers.values.keys import key_of, measured
from mmupt.answers.values.kinds import Key, numeric
from mmupt.answers.values.ratios import ratio_value
from mmupt.answers.values.symbolic import symbolic_key
from mmupt.answers.values.times import may_be
from mmupt.answers.values.units import is_part_of, unit_name

Near = Callable[[Fraction, Fraction], bool]


def agree(answer: str, gold: str, near: Near, unit: str | None = None) -> bool:
    """Whether the two say the same if one may leave out what only the other writes; `near` compares numbers."""
    return _numbers_agree(answer, gold, near, unit) or _forms_agree(answer, gold)


def equal(x: Fraction, y: Fraction) -> bool:
    """The `near` without a tolerance."""
    return x == y


def _numbers_agree(answer: str, gold: str, near: Near, unit: str | None) -> bool:
    (x, answer_unit), (y, gold_unit) = measured(answer), measured(gold)
    if x is None or y is None or (answer_unit and gold_unit and answer_unit != gold_unit):
        return False
    if unit is not None and answer_unit and not gold_unit and not is_part_of(answer_unit, unit_name(tidy(unit))):
        return False
    return near(x, y)


@lru_cache(maxsize=16_384)
def _forms_agree(a: str, b: str) -> bool:
    x, y = key_of(a), key_of(b)
    if may_be(x, y) or may_be(y, x):
        return True
    for ratio, number in ((ratio_value(x), numeric(y)), (ratio_value(y), numeric(x))):
        if ratio is not None and ratio == number:
            return True
    return _items_agree(x, y) or _items_agree(y, x) or _lines_agree(a, b)


def _items_agree(x: Key, y: Key) -> bool:
    """Brackets or order that `x` does without."""
    if x[0] == "set" and isinstance(x[1], frozenset):
        listed = without_brackets(y)
        items = listed[0] if listed else (y,)
        return frozenset(items) == x[1] and len(items) == len(x[1])
    bare, other = without_brackets(x), without_brackets(y)
    return bare is not None and other is not None and bare[0] == other[0] and "" in (bare[1], other[1])


def _lines_agree(a: str, b: str) -> bool:
    if not ("=" in a and "=" in b) or len(a) > MAX_LENGTH or len(b) > MAX_LENGTH:
        return False
    x = symbolic_key(tidy(a, drop_name=False))
    return x is not None and x[0] == "=" and x == symbolic_key(tidy(b, drop_name=False))
