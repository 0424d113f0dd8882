"""What a rule of `targets` is, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mmupt.selftrain.heard import Heard


@dataclass(frozen=True, slots=True)
class Target:
    """A text to imitate with the answer it gives. `name` tells it from others to the same prompt; `why` is kept with
    the row."""

    text: str
    answer: str
    name: str
    why: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """`kept` in order of preference; `left_out` counts responses by reason."""

    kept: tuple[Target, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


class KeepRule(ABC):
    """Decides on the responses to one prompt from what was heard and what the rule was built from, nothing else."""

    name: ClassVar[str]
    """The rule, as recipes spell it."""

    @abstractmethod
    def choose(self, heard: Heard) -> Choice:
        """What is worth imitating. A response whose answer cannot be read, or that was cut off, never is."""


def sifted(heard: Heard, refused: Sequence[str | None], why: Sequence[Mapping[str, float | str]]) -> Choice:
    """The responses that nothing speaks against: `refused` says for each why not, or None; `why` goes with the row."""
    kept, left_out = [], Counter[str]()
    for i, (response, answer) in enumerate(zip(heard.responses, heard.answers, strict=True)):
        reason = "unreadable" if answer is None else refused[i] or (None if heard.whole(i) else "cut off")
        if answer is None or reason is not None:
            left_out[str(reason)] += 1
        else:
            kept.append(Target(response.text.strip(), answer, str(i), why[i]))
    return Choice(tuple(kept), left_out)


def bounded(choice: Choice, most: int) -> Choice:
    """Each text once, and no more than `most` of them (0: all), the preferred ones first."""
    once = {target.text: target for target in reversed(choice.kept)}  # the first of equals stays
    different = [target for target in choice.kept if once[target.text] is target]
    kept = tuple(different[:most] if most else different)
    left_out = Counter(choice.left_out)
    left_out["said before"] += len(choice.kept) - len(different)
    left_out["over per_prompt"] += len(different) - len(kept)
    return Choice(kept, +left_out)
