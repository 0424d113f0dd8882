"""Turns of phrase of several steps, which the larger picture kinds share: filter, then add, then compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from mmupt.world.chains import commas, running_sum, spaced
from mmupt.world.scenes import Solved

Numbers = Sequence[int]


def found(name: str, numbers: Numbers) -> str:
    """What a filter let pass: `red 3 5 1`, or `red none`."""
    return f"{name} {spaced(numbers) or 'none'}"


def added(name: str, numbers: Numbers) -> str:
    """What a filter let pass, and its sum: `red 3 5 1: 3+5=8, +1=9`."""
    return f"{found(name, numbers)}: {running_sum(numbers)}"


def solve_total(name: str, numbers: Numbers) -> Solved:
    return Solved(added(name, numbers), str(sum(numbers)))


def solve_mean(name: str, numbers: Numbers) -> Solved:
    """`red 3 5 1: 3+5=8, +1=9, 9/3` and `3`; a mean that is no integer is a fraction in lowest terms."""
    total, number = sum(numbers), len(numbers)
    return Solved(f"{added(name, numbers)}, {total}/{number}", str(Fraction(total, number)))


def solve_difference(left: str, lefts: Numbers, right: str, rights: Numbers) -> Solved:
    """`red 3 5: 3+5=8; blue 9: 9; 8-9=-1`."""
    high, low = sum(lefts), sum(rights)
    return Solved(f"{added(left, lefts)}; {added(right, rights)}; {high}-{low}={high - low}", str(high - low))


def solve_more(left: str, lefts: Numbers, right: str, rights: Numbers) -> Solved:
    """Is the left sum more than the right one: `red 3 5: 3+5=8; blue 9: 9; 8<9` and "no"."""
    high, low = sum(lefts), sum(rights)
    steps = f"{added(left, lefts)}; {added(right, rights)}; {high}{sign(high, low)}{low}"
    return Solved(steps, "yes" if high > low else "no")


def solve_wins(left: str, lefts: Numbers, right: str, rights: Numbers) -> Solved:
    """How often is the left one more than the right one beside it: `red 3 5; blue 4 1; 3<4, 5>1: 1`."""
    pairs = list(zip(lefts, rights, strict=True))
    wins = sum(a > b for a, b in pairs)
    duels = commas(f"{a}{sign(a, b)}{b}" for a, b in pairs)
    return Solved(f"{found(left, lefts)}; {found(right, rights)}; {duels}: {wins}", str(wins))


def solve_highest(name: str, numbers: Mapping[str, int]) -> Solved:
    """Whose number is the largest: `red A 3, B 5, C 1: largest 5` and "B"."""
    best = max(numbers, key=numbers.__getitem__)
    read = commas(f"{owner} {number}" for owner, number in numbers.items())
    return Solved(f"{name} {read}: largest {numbers[best]}", best)


def solve_richest(numbers: Mapping[str, Numbers]) -> Solved:
    """Whose sum is the largest: `A 3 5: 3+5=8; B 9: 9; largest 9` and "B"."""
    best = max(numbers, key=lambda name: sum(numbers[name]))
    sums = "; ".join(added(name, own) for name, own in numbers.items())
    return Solved(f"{sums}; largest {sum(numbers[best])}", best)


def sign(left: int, right: int) -> str:
    return ">" if left > right else "<" if left < right else "="


def one_largest(numbers: Numbers) -> bool:
    """Whether one of them stands above all others."""
    return list(numbers).count(max(numbers)) == 1
