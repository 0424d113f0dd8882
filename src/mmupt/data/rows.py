"""A source of rows and a row, as every reader hands them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as the source has it, with the wanted columns only; `problem` says why where it could not be read."""

    number: int
    where: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    problem: str | None = None


@dataclass(slots=True)
class RowSource:
    """An opened source: iterate it once for its rows.

    `label` is how messages name it, `stem` the front of ids made for rows without one, `folder` what the paths of
    pictures are relative to. `columns` are the names of all its columns, complete when the iteration has ended.
    """

    label: str
    stem: str
    folder: Path
    read: Callable[[RowSource], Iterator[RawRow]] = field(repr=False)
    limit: int | None = None
    columns: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[RawRow]:
        for count, row in enumerate(self.read(self), 1):
            yield row
            if count == self.limit:
                return

    def where(self, number: int) -> str:
        """How messages name a row."""
        return f"{self.label}:{number}"
