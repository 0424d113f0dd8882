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
    """Each pair once, without those that hold an empty text or prefer a text to itself; at most `most` (0: all)."""
    whole = [pair for pair in found if pair.chosen and pair.rejected]
    unlike = [pair for pair in whole if pair.chosen != pair.rejected]
    first: dict[tuple[str, str], Preference] = {}
    for pair in unlike:
        first.setdefault((pair.chosen, pair.rejected), pair)
    once = list(first.values())
    kept = once[:most] if most else once
    left_out = Counter(
        {
            "empty": len(found) - len(whole),
            "both the same": len(whole) - len(unlike),
            "said before": len(unlike) - len(once),
            "over per_prompt": len(once) - len(kept),
        }
    )
    return Preferences(tuple(kept), +left_out)
