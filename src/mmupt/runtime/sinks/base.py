"""What a sink is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class About:
    """The run a sink is told of: its folder, its name, and the resolved recipe as plain values."""

    root: Path
    name: str
    recipe: Mapping[str, Any]


class Sink(ABC):
    """Takes figures and sentences as they come. What it raises is told once, and ends it; the run goes on.

    It is told everything once: what a resumed run does again is not repeated to it (`runtime/sinks/log.py`).
    """

    package: ClassVar[str]
    """What must be importable for it."""

    @abstractmethod
    def begin(self, about: About, run_id: str | None) -> str | None:
        """Opens the run there; `run_id` is what `begin` returned the first time, None in a new run."""

    @abstractmethod
    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        """A point of several curves: `series` is a stage ("upt") or an evaluation ("eval/world:test")."""

    @abstractmethod
    def event(self, series: str, step: int, text: str) -> None:
        """A sentence about step `step`."""

    def end(self, *, finished: bool) -> None:
        """Closes the run there; it may be begun again later."""
