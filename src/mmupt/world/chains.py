"""Turns of phrase that chains of several picture kinds share. Short on purpose: generating tokens is what costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from mmupt.world.scenes import Solved


def spaced(things: Iterable[object]) -> str:
    """What was read, in reading order: `3 5 1 2`."""
    return " ".join(map(str, things))


def commas(things: Iterable[object]) -> str:
    """`red 3, blue 5`."""
    return ", ".join(map(str, things))


def running_sum(numbers: Sequence[int]) -> str:
    """Every partial sum: `3+5=8, +1=9, +2=11`; one number alone stands for itself, none at all is `0`."""
    if len(numbers) < 2:
        return str(sum(numbers))
    total = numbers[0] + numbers[1]
    steps = [f"{numbers[0]}+{numbers[1]}={total}"]
    for number in numbers[2:]:
        total += number
        steps.append(f"+{number}={total}")
    return commas(steps)


def solve_sum(read: str, numbers: Sequence[int]) -> Solved:
    return Solved(f"{read}: {running_sum(numbers)}", str(sum(numbers)))


def solve_largest(numbers: Sequence[int]) -> Solved:
    return Solved(f"{spaced(numbers)}: largest {max(numbers)}", str(max(numbers)))


def solve_smallest(numbers: Sequence[int]) -> Solved:
    return Solved(f"{spaced(numbers)}: smallest {min(numbers)}", str(min(numbers)))


def solve_range(numbers: Sequence[int]) -> Solved:
    high, low = max(numbers), min(numbers)
    return Solved(f"{spaced(numbers)}: {high}-{low}={high - low}", str(high - low))


def solve_sorted(numbers: Sequence[int]) -> Solved:
    return Solved(f"{spaced(numbers)}: in order", commas(sorted(numbers)))


def solve_count(things: Sequence[object], wanted: object) -> Solved:
    """`red blue red blue: 2`: what was looked at comes first, so that each word rests on one cell."""
    count = things.count(wanted)
    return Solved(f"{spaced(things)}: {count}", str(count))


def solve_fraction(things: Sequence[object], wanted: object) -> Solved:
    """`red blue red blue: 2/4`, and the answer in lowest terms: `1/2`."""
    count = things.count(wanted)
    return Solved(f"{spaced(things)}: {count}/{len(things)}", str(Fraction(count, len(things))))


def solve_compare(left: int, right: int, read: str, mark: str = ": ") -> Solved:
    """Is left more than right: `circle square circle square: 2=2` and "no"."""
    sign = ">" if left > right else "<" if left < right else "="
    return Solved(f"{read}{mark}{left}{sign}{right}", "yes" if left > right else "no")


def solve_rows(numbers: Sequence[int]) -> Solved:
    """Is the top row of four cells more than the bottom row: `3 5 1 2: 3+5=8, 1+2=3, 8>3`."""
    top, bottom = numbers[:2], numbers[2:]
    return solve_compare(
        sum(top), sum(bottom), f"{spaced(numbers)}: {running_sum(top)}, {running_sum(bottom)}", mark=", "
    )
