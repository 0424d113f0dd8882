"""What a rule of `pairs` is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mmupt.selftrain.heard import Heard


@dataclass(frozen=True, slots=True)
class Preference:
    """A text that is to become likelier than another; `why` is kept with the row."""

    chosen: str
    rejected: str
    why: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What one prompt brings; `left_out` says, with a count of 1 each, why there is nothing or not more."""

    found: tuple[Preference, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


class PreferRule(ABC):
    """Decides on the responses to one prompt from what was heard and what the rule was built from, nothing else."""

    name: ClassVar[str]
    """The rule, as recipes spell it."""

    @abstractmethod
    def prefer(self, heard: Heard) -> Preferences:
        """Pairs of responses. One that was cut off is in none of them."""


def nothing(why: str) -> Preferences:
    return Preferences((), {why: 1})


def different(found: list[Preference], most: int = 0) -> Preferences:
    """Without those that prefer a text to itself, without repetitions, at most `most` of them (0: all)."""
    once = list(dict.fromkeys((p.chosen, p.rejected) for p in found if p.chosen != p.rejected))
    by_texts = {(p.chosen, p.rejected): p for p in reversed(found)}
    kept = once[:most] if most else once
    left_out = Counter({
        "both the same": sum(p.chosen == p.rejected for p in found),
        "said before": sum(p.chosen != p.rejected for p in found) - len(once),
        "over per_prompt": len(once) - len(kept),
    })  # fmt: skip
    return Preferences(tuple(by_texts[texts] for texts in kept), +left_out)
