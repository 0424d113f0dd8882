r"""Are two answers the same?

Each answer is read once into a canonical key; answers are the same when their keys are equal. So sameness is an
equivalence relation by construction, and the clusters of a vote cannot depend on the order of the rollouts.

| answers that are the same | key | and why |
|---|---|---|
| `1/2`, `0.5`, `\frac{1}{2}`, `50%`, `2/4`, `5e-1`, `one half` | the exact number | a percentage is a hundredth: `50%` is not `50` |
| `1,234`, `1 234`, `1{,}234`, `1.234,0` | the exact number | `3,5` is a list and `1.234` a decimal: European only where nothing else fits |
| `$5`, `5 dollars`, `USD 5`, `€5`, `5` | the exact number | a question has one currency, and `$` is LaTeX; cents are a unit |
| `60°`, `60^\circ`, `60 degrees`, `60` | the exact number | angles are asked for in degrees; radians are a unit |
| `0.\overline{3}`, `0.(3)`, `1/3` | the exact number | `0.333` is another number |
| `three`, `twenty-one`, `two and a half` | the exact number | `third` is a place and stays text |
| `x = 5`, `5 = x`, `5` | the value | the name is in the question |
| `15/125 = 3/25`, `x = 6/8 = 3/4`, `6 + 4 = 10` | the value | one number written in several ways; sides that differ stay text |
| `\sqrt{8}`, `2\sqrt{2}`; `x(x+1)`, `x^2+x`; `x+y=4`, `2x+2y=8` | what `values/symbolic.py` computes | |
| `45 km`, `45 kilometres`; `5 cm²`, `5 square centimeters` | number and unit | neither `45` nor `45 m`; nothing is converted, as converting is often the question |
| `2 h 15 min`, `135 minutes` | number and unit | several units are counted in the smallest |
| `3:45 PM`, `15:45`; `4 o'clock`, `4:00` | the time | `3:45` may be either half of the day, so it is a third time |
| `1:4`, `2:8`, `1 to 4` | the ratio | not `1/4` (may be 1 in 5); what may be a time (`2:10`) is one |
| `(3, -4)`, `[0, 1)`, `1, 2`, `1 and 2` | brackets, if any, and items in order | an order can be the answer: `3,5,4,2,1` |
| `\{1, 2\}`, `\{2, 1\}`, `2 or 1`, `x=1 or x=2`; `\pm 1` | the set | alternatives have no order |
| `x = 1, y = 2`, `y = 2, x = 1` | the set of named values | the names say which is which |
| `(5, \infty)`, `x > 5`; `[1, 3)`, `1 \leq x < 3` | the interval | the letter is in the question |
| `(0,1) \cup (2,3)` | the set of its parts | |
| `\begin{pmatrix}1&2\\3&4\end{pmatrix}`, `[[1,2],[3,4]]` | the rows | the brackets are typography |
| `B`, `(B)`, `B. 45 km`, `option B`, `45 km` where the choices are known | the option | options of one value, written alike, are one option |
| `A, B`, `both B and A` where the choices are known | the set of options | |
| `(E) 90`, `90` where the choices are not known | the value | a label in front of a value only points at it |
| `Yes`, `yes, it is`; not `true` | `yes` or `no` | |
| everything else, dates too | its text | case, white space, hyphens, quotes and a leading article folded |

What a group needs beyond this relation (`45` beside `45 km`) is in `vote.py`; what a gold answer allows, in
`values/allowances.py`. A tolerance cannot be part of an equivalence relation; where one is asked for, numbers are compared in
pairs, and `vote.py` says how it clusters.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from mmupt.answers.choices import options_named
from mmupt.answers.text import MAX_LENGTH
from mmupt.answers.values.allowances import agree
from mmupt.answers.values.keys import key_of
from mmupt.answers.values.kinds import Key, number_and_unit


def canonical(answer: str, *, choices: Sequence[str] | None = None) -> Key:
    """The key of an answer: equal keys, same answer. Never raises; text nobody can interpret is its own key.

    >>> canonical("0.5") == canonical("1/2"), canonical("B", choices=["3", "4"]) == canonical("4", choices=["3", "4"])
    (True, True)
    """
    if choices and len(answer) <= MAX_LENGTH:
        named = options_named(answer, tuple(choices))
        if named:
            return ("option", named[0]) if len(named) == 1 else ("options", named)
    return key_of(answer)


def same(a: str, b: str, *, choices: Sequence[str] | None = None, tolerance: float = 0.0) -> bool:
    """Whether two answers say the same. `tolerance` is relative to the larger of two numbers (of one unit); with 0
    (the default) this is an equivalence relation, with more it is reflexive and symmetric only."""
    _check(tolerance, None)
    key_a, key_b = canonical(a, choices=choices), canonical(b, choices=choices)
    if key_a == key_b:
        return True
    (x, unit_a), (y, unit_b) = number_and_unit(key_a), number_and_unit(key_b)
    return tolerance > 0 and x is not None and y is not None and unit_a == unit_b and within(x, y, tolerance)


def within(x: Fraction, y: Fraction, tolerance: float) -> bool:
    """Whether two numbers differ by at most `tolerance` times the larger magnitude."""
    return abs(x - y) <= Fraction(tolerance) * max(abs(x), abs(y))


def rounded(x: Fraction, precision: int) -> Fraction:
    """To `precision` decimals, a half away from zero, on the exact number: 2.675 is 2.68 and -2.5 is -3.

    >>> rounded(Fraction("7.065"), 2), rounded(Fraction("-2.5"), 0)
    (Fraction(707, 100), Fraction(-3, 1))
    """
    scale = 10**precision
    steps = math.floor(abs(x) * scale + Fraction(1, 2))
    return Fraction(-steps if x < 0 else steps, scale)


def grade(
    answer: str | None,
    gold: str,
    *,
    choices: Sequence[str] | None = None,
    unit: str | None = None,
    tolerance: float = 0.0,
    precision: int | None = None,
) -> bool:
    """Whether `answer` is correct. None (no answer could be read) never is.

    `gold` may be a value, an option's letter or an option's text. More lenient than `same` where the gold answer fixes
    what is asked for; `values/allowances.py` lists how. Where `unit`, that of the gold answer, is known, the answer's
    unit must be it or some of its words.

    Numbers agree when they are equal, and only then unless asked otherwise: with `tolerance` where they differ by at
    most that share of the larger; with `precision` where both round to the same number of that many decimals
    (a half away from zero). Raises ValueError where `tolerance` or `precision` is negative or `precision` above 100.
    """
    _check(tolerance, precision)
    if answer is None:
        return False
    if same(answer, gold, choices=choices, tolerance=tolerance):
        return True
    if choices and canonical(gold, choices=choices)[0] in ("option", "options"):
        return False  # an option is named or it is not
    if unit is not None and unit.strip() and same(answer, f"{gold} {unit}", tolerance=tolerance):
        return True  # 2 h 15 min where the gold answer is 135 and its unit minutes

    def near(x: Fraction, y: Fraction) -> bool:
        if x == y or (tolerance > 0 and within(x, y, tolerance)):
            return True
        return precision is not None and rounded(x, precision) == rounded(y, precision)

    return agree(answer, gold, near, unit)


def _check(tolerance: float, precision: int | None) -> None:
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance = {tolerance}: use a number from 0 (exact) upwards, such as 0.01 for one percent")
    if precision is not None and not 0 <= precision <= 100:
        raise ValueError(f"precision = {precision}: use a number of decimals from 0 to 100, or None for exact numbers")
