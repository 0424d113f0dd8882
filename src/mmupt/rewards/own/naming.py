"""How a recipe names a reward of its user's, without loading it.

| `reward.name` | what it means |
|---|---|
| `rewards.py:brevity` | a file, relative to the recipe's folder, and what in it |
| `my_package.rewards:brevity` | an importable module, and what in it |
| `brevity` | an entry point of the group `mmupt.rewards` of an installed package |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENTRY_POINTS = "mmupt.rewards"
"""The group in which an installed package lists its rewards."""

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_FILE = re.compile(rf"(?P<place>.+\.py):(?P<attribute>{_IDENTIFIER})", re.DOTALL)
_MODULE = re.compile(rf"(?P<place>{_IDENTIFIER}(?:\.{_IDENTIFIER})*):(?P<attribute>{_IDENTIFIER})")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a reward stands: `place` is a file's path or a module's name.

    >>> parse_reference("tools/rewards.py:brevity")
    Reference(place='tools/rewards.py', attribute='brevity', is_file=True)
    """

    place: str
    attribute: str
    is_file: bool


def parse_reference(name: str) -> Reference | None:
    """The file or module that `name` refers to, None where it is a plain name."""
    if match := _FILE.fullmatch(name):
        return Reference(match["place"], match["attribute"], is_file=True)
    if match := _MODULE.fullmatch(name):
        return Reference(match["place"], match["attribute"], is_file=False)
    return None


def entry_point_names() -> tuple[str, ...]:
    """The rewards that installed packages offer. Nothing is imported to find out."""
    from importlib.metadata import entry_points

    return tuple(sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)}))


def locate(document: Mapping[str, Any], folder: Path) -> None:
    """Makes the files that the `reward` tables of a recipe's document name absolute, in place: relative ones are
    relative to `folder`. What is no table or no text is left for the check of the recipe to complain about."""
    stages = document.get("stages")
    for owner in (document, *(stages if isinstance(stages, list) else ())):
        reward = owner.get("reward") if isinstance(owner, dict) else None
        if isinstance(reward, dict):
            terms = reward.get("terms")
            for table in (reward, *(terms if isinstance(terms, list) else ())):
                if isinstance(table, dict) and isinstance(name := table.get("name"), str):
                    table["name"] = _absolute(name, folder)


def _absolute(name: str, folder: Path) -> str:
    reference = parse_reference(name)
    if reference is None or not reference.is_file:
        return name
    return f"{os.path.abspath(folder / Path(reference.place).expanduser())}:{reference.attribute}"
