"""All checks, in the order in which they are told. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmupt.doctor.case import Case, open_case
from mmupt.doctor.finding import Finding
from mmupt.doctor.labels import labels
from mmupt.doctor.leaks import leaks
from mmupt.doctor.lengths import lengths
from mmupt.doctor.machine import machine
from mmupt.doctor.memory import memory
from mmupt.doctor.parts import parts
from mmupt.doctor.rows import rows
from mmupt.doctor.versions import versions
from mmupt.recipe import Recipe

Check = Callable[[Case], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (machine, versions, parts, memory, rows, lengths, labels, leaks)
"""The last four look at data and have nothing to say without a recipe."""


def examine(recipe: Recipe | None = None) -> list[Finding]:
    """What all checks find about this machine and, where one is given, about `recipe`. Nothing is written. Rows, and of
    the model its configuration and tokenizer, are read from where the recipe has them, the hub included; weights are
    not. Rewards of one's own are loaded, as a run would."""
    case = open_case(recipe)
    return [finding for check in CHECKS for finding in check(case)]
