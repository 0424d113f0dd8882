"""A comparison as tables for the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.evals.compare.comparing import Comparison, FigureComparison, SetComparison

COLUMNS = ("figure", "A", "B", "B - A", "95 % interval", "p", "p (Holm)", "pairs")


@dataclass(frozen=True, slots=True)
class Table:
    """One set: `rows` of text under `COLUMNS`, and remarks to print below."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def render(comparison: Comparison) -> list[Table]:
    """One table a set; accuracies in per cent, differences in points."""
    return [_table(one) for one in comparison.sets]


def _table(one: SetComparison) -> Table:
    notes = [f"greedy: {one.gained} questions right in B alone, {one.lost} in A alone"]
    if one.only_a or one.only_b:
        notes.append(f"without a partner and left out: {one.only_a} questions of A, {one.only_b} of B")
    return Table(one.name, tuple(map(_row, one.figures)), (*notes, *one.notes))


def _row(figure: FigureComparison) -> tuple[str, ...]:
    difference = figure.difference
    return (
        figure.name,
        f"{100 * figure.a:.1f}",
        f"{100 * figure.b:.1f}",
        _points(difference.value),
        f"[{_points(difference.low)}, {_points(difference.high)}]",
        f"{difference.p:.4f}",
        f"{figure.p_holm:.4f}",
        str(difference.n),
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
