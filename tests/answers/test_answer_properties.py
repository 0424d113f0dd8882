"""Sameness over answers of every kind: an equivalence relation, respellings equal, other values different.

Each strategy draws a value of one kind and writes it in two ways; hypothesis draws them deterministically.
"""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmupt.answers.equivalence import canonical, grade, same
from mmupt.answers.vote import vote

bounded = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

UNDER_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety"
UNITS = [
    ("km", "kilometers", "kilometres", r"\text{km}"), ("cm^2", "cm²", "square centimeters", "sq cm"),
    (r"\mathrm{m}^{3}", "m³", "cubic meters", "m^3"), ("h", "hours", "hr"), ("km/h", "kilometers per hour", "kph"),
    ("lb", "pounds", "lbs"), ("apples", "apple", "Apples"),
]  # fmt: skip


def in_words(n: int) -> str:
    """The slow and obvious way, below a thousand."""
    if n >= 100:
        rest = f" and {in_words(n % 100)}" if n % 100 else ""
        return f"{UNDER_TWENTY.split()[n // 100]} hundred{rest}"
    if n < 20:
        return UNDER_TWENTY.split()[n]
    return TENS.split()[n // 10] + (f"-{UNDER_TWENTY.split()[n % 10]}" if n % 10 else "")


def integers(n: int) -> list[str]:
    spelled = [
        f"{n}",
        f"{n}.0",
        f"{n:,}",
        f"{n:,}".replace(",", "{,}"),
        f"{n:,}".replace(",", r"\,"),
        f"{n}°",
        f"${n}$",
    ]
    spelled += [f"x = {n}", rf"\boxed{{{n}}}", rf"\text{{{n}}}", f"{n} dollars", rf"\${n}", f"{n}e0", f"{n}."]
    return spelled + ([in_words(n), in_words(n).capitalize()] if n < 1000 else [])


def fractions(q: Fraction) -> list[str]:
    sign, p, d = ("-" if q < 0 else ""), abs(q.numerator), q.denominator
    spelled = [
        f"{sign}{p}/{d}",
        rf"{sign}\frac{{{p}}}{{{d}}}",
        rf"\dfrac{{{sign}{2 * p}}}{{{2 * d}}}",
        f"({sign}{p})/{d}",
    ]
    spelled += [f"{sign}{p} / {d}", f"{sign}{p // d} {p % d}/{d}"] if p > d > 1 else []
    if all(q.denominator % prime for prime in (3, 7)):
        spelled += [f"{float(q)}", f"{float(q * 100):.10g}%", rf"{float(q * 100):.10g}\%"]
    elif d == 3:
        spelled.append(rf"{sign}{p // d}.\overline{{{p % d * 3}}}")
    return spelled


def quantities(value: tuple[int, int]) -> list[str]:
    n, unit = value
    return [f"{number} {name}" for number in (f"{n}", f"{n}.0", f"${n}$") for name in UNITS[unit]]


def radicals(value: tuple[int, int]) -> list[str]:
    a, b = value
    return [
        rf"{a}\sqrt{{{b}}}",
        f"{a}√{b}",
        rf"\sqrt{{{a * a * b}}}",
        rf"\frac{{{a * b}}}{{\sqrt{{{b}}}}}",
        f"{a}*sqrt({b})",
    ]


def sets(values: frozenset[int]) -> list[str]:
    up, down = sorted(values), sorted(values, reverse=True)
    spelled = [rf"\{{{', '.join(map(str, items))}\}}" for items in (up, down)]
    if len(up) > 1:
        spelled += [" or ".join(map(str, down)), " or ".join(f"x = {v}" for v in up)]
    return spelled


def tuples(values: tuple[int, int]) -> list[str]:
    a, b = values
    return [f"({a}, {b})", f"({a},{b})", rf"\left({a}, {b}\right)", f"$({a}.0,{b})$"]


def lists(values: tuple[int, int]) -> list[str]:
    a, b = values
    return [f"{a}, {b}", f"{a} and {b}", f"${a}$, ${b}$", f"{a}; {b}"]


def intervals(value: tuple[int, int, str, str]) -> list[str]:
    low, length, opening, closing = value
    ends = (f"{opening}{low}, {low + length}{closing}", rf"\left{opening}{low},{low + length}\right{closing}")
    return [*ends, rf"x \in {ends[0]}"]


def unions(value: tuple[int, int, str, str]) -> list[str]:
    first, second = intervals(value)[0], "(90, 99]"
    return [rf"{first} \cup {second}", f"{second}∪{first}"]


def matrices(values: tuple[int, int, int]) -> list[str]:
    a, b, c = values
    inside = (rf"{a} & {b} \\ {c} & 1", rf"{a}&{b}\\{c}&1")
    return [f"[[{a}, {b}], [{c}, 1]]", *(rf"\begin{{{k}matrix}}{inside[k == 'b']}\end{{{k}matrix}}" for k in "pb")]


def times(value: tuple[int, int]) -> list[str]:
    hour, minute = value
    half = "a" if hour < 12 else "p"
    shown = f"{(hour - 1) % 12 + 1}:{minute:02}"
    spelled = [f"{shown} {half}m", f"{shown} {half.upper()}.M.", f"{shown}{half.upper()}M"]
    return spelled + ([f"{hour}:{minute:02}"] if hour > 12 else [])


def durations(value: tuple[int, int]) -> list[str]:
    hours, minutes = value
    return [
        f"{hours} hours {minutes} minutes",
        f"{hours} h {minutes} min",
        f"{hours * 60 + minutes} minutes",
        f"{hours}h {minutes}m",
    ]


def ratios(value: tuple[int, int]) -> list[str]:
    a, b = value
    return [f"{a}:{b}", f"{a} : {b}", f"{a} to {b}", f"{2 * a}:{2 * b}"]


def expressions(value: tuple[int, int]) -> list[str]:
    a, b = value
    return [f"{a}x+{b}", f"{b} + {a}x", f"y = {a}x + {b}", rf"{a}\cdot x+{b}"]


def equations(value: tuple[int, int]) -> list[str]:
    a, b = value
    return [f"x + {a}y = {b}", f"{a}y+x={b}", f"2x + {2 * a}y = {2 * b}"]


def texts(word: str) -> list[str]:
    return [word, word.upper(), f"The {word}", f'"{word}"', rf"\text{{{word}}}", f" {word}. ", f"{word}!"]


def verdicts(yes: bool) -> list[str]:
    return ["Yes", "yes.", "YES", "Yes, it is", "yes it is"] if yes else ["No", "no.", "No, it is not", "no!"]


small = st.integers(1, 30)
ends = st.tuples(st.integers(-9, 20), st.integers(1, 20), st.sampled_from("(["), st.sampled_from(")]"))
KINDS = {
    "integer": st.integers(0, 2_000_000).map(integers),
    "fraction": st.fractions(-9, 9, max_denominator=9).filter(lambda q: q.denominator > 1).map(fractions),
    "quantity": st.tuples(small, st.integers(0, len(UNITS) - 1)).map(quantities),
    "radical": st.tuples(st.integers(2, 9), st.sampled_from([2, 3, 5, 6, 7])).map(radicals),
    "set": st.frozensets(st.integers(-9, 9), min_size=1, max_size=4).map(sets),
    "tuple": st.tuples(st.integers(-9, 9), small).map(tuples),
    "list": st.tuples(st.integers(-9, 9), small).map(lists),
    "interval": ends.map(intervals),
    "union": ends.map(unions),
    "matrix": st.tuples(small, st.integers(-9, 9), small).map(matrices),
    "time": st.tuples(st.integers(1, 23), st.integers(0, 59)).map(times),
    "duration": st.tuples(small, st.integers(1, 59)).map(durations),
    "ratio": st.tuples(small, st.integers(1, 4)).map(ratios),
    "expression": st.tuples(st.integers(2, 9), st.integers(1, 9)).map(expressions),
    "equation": st.tuples(st.integers(2, 9), st.integers(1, 9)).map(equations),
    "text": st.sampled_from(["dog", "north-east", "triangle", "blue", "parallelogram"]).map(texts),
    "verdict": st.booleans().map(verdicts),
}
spelled = st.one_of(*KINDS.values())
answers = (
    spelled.flatmap(st.sampled_from)
    | st.text(max_size=10)
    | st.sampled_from(["A", "(B)", "c.", "A, B", "", "50%", "50"])
)
some_choices = st.sampled_from(
    [None, ("1", "1/2", "4 km", "x+1"), ("yes", "no"), ("A", "B", "C", "C"), ("1:4", "(1, 2)", "3 pm")]
)


@settings(bounded, max_examples=500)
@given(spelled)
def test_respellings_are_the_same(ways: list[str]) -> None:
    keys = {canonical(way): way for way in ways}
    assert len(keys) == 1, keys
    assert all(grade(way, ways[0]) and grade(ways[0], way) for way in ways)


@bounded
@given(
    st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(KINDS[kind], KINDS[kind])),
    st.randoms(use_true_random=False),
)
def test_other_values_of_a_kind_differ(pair: tuple[list[str], list[str]], rng: random.Random) -> None:
    """The first spelling is one to one with the value, up to ratios in other terms."""
    one, other = pair
    if one[0] != other[0] and not set(one) & set(other):
        equal = same(rng.choice(one), rng.choice(other))
        assert equal == (one[0].count(":") == 1 and _quotient(one[0]) == _quotient(other[0])), (one[0], other[0])


def _quotient(ratio: str) -> Fraction | str:
    left, _, right = ratio.partition(":")
    return Fraction(int(left), int(right)) if left.isdigit() and right.isdigit() else ratio


@bounded
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS)), st.data())
def test_answers_of_two_kinds_differ(first: str, second: str, data: st.DataObject) -> None:
    if first == second or {first, second} in ({"duration", "quantity"},):
        return  # 90 min is both
    one, other = data.draw(KINDS[first].flatmap(st.sampled_from)), data.draw(KINDS[second].flatmap(st.sampled_from))
    assert not same(one, other)


@bounded
@given(st.lists(answers, min_size=3, max_size=6), some_choices)
def test_an_equivalence_relation(group: list[str], choices: tuple[str, ...] | None) -> None:
    for a in group:
        assert same(a, a, choices=choices)
        assert grade(a, a, choices=choices)
        for b in group:
            assert same(a, b, choices=choices) == same(b, a, choices=choices)
            if same(a, b, choices=choices):
                assert all(same(a, c, choices=choices) == same(b, c, choices=choices) for c in group)


@bounded
@given(
    st.lists(answers | st.none(), max_size=10),
    some_choices,
    st.sampled_from([0.0, 0.05]),
    st.randoms(use_true_random=False),
)
def test_clusters_do_not_depend_on_the_order(
    group: list[str | None], choices: tuple[str, ...] | None, tolerance: float, rng: random.Random
) -> None:
    order = list(range(len(group)))
    rng.shuffle(order)
    before = vote(group, choices=choices, tolerance=tolerance)
    after = vote([group[i] for i in order], choices=choices, tolerance=tolerance)
    assert {frozenset(c.members) for c in before.clusters} == {
        frozenset(order[m] for m in c.members) for c in after.clusters
    }
    assert sorted(m for c in before.clusters for m in c.members) == [i for i, a in enumerate(group) if a is not None]


@bounded
@given(st.lists(answers, min_size=2, max_size=8))
def test_what_is_the_same_is_in_one_cluster(group: list[str]) -> None:
    where = {m: k for k, c in enumerate(vote(group).clusters) for m in c.members}
    assert all(where[i] == where[j] for i, a in enumerate(group) for j, b in enumerate(group) if same(a, b))
