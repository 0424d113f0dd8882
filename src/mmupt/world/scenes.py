"""What a picture of the world is, and what a question about it is.

A scene holds the exact contents of a picture. Everything else is a function of it: the pixels, the true answer of a
question, and the chain of a reader. A reader who misreads sees another scene, `scene.misread(...)`, and reasons about
that one without a further mistake; so a wrong chain is always consistent with what it read, and the true answer, which
comes from the scene itself, cannot depend on any misreading.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from PIL import Image

from mmupt.errors import DataError

T = TypeVar("T")

POSITIONS = ("top left", "top right", "bottom left", "bottom right")
"""The four cells of a 2x2 picture in reading order."""


class Scene(ABC):
    """The exact contents of a picture; subclasses are frozen dataclasses.

    `kind` names the picture kind. `key()` identifies the contents: equal keys, equal pictures.
    """

    kind: ClassVar[str]
    __slots__ = ()

    @classmethod
    @abstractmethod
    def random(cls, rng: Random) -> Self:
        """A scene drawn uniformly (or nearly so) from all of its kind."""

    @classmethod
    @abstractmethod
    def parse(cls, contents: str) -> Self:
        """The scene whose `contents()` these are. Raises DataError on any other text."""

    @abstractmethod
    def contents(self) -> str:
        """The contents in one word without spaces, in reading order."""

    @abstractmethod
    def draw(self) -> Image.Image:
        """The picture, RGB, width and height multiples of 28 pixels (one merged image token of Qwen2.5-VL)."""

    @abstractmethod
    def describe(self) -> str:
        """The contents in words, as the skill "describe" gives them."""

    @abstractmethod
    def misread(self, rng: Random, wrong: float) -> Self:
        """What a reader sees who takes each single thing for another, plausible one with probability `wrong`."""

    def key(self) -> str:
        """For example `dice:red3,blue5,red1,blue2`."""
        return f"{self.kind}:{self.contents()}"


class Solved(NamedTuple):
    """How a question is worked out: `steps` in the chain's words, then the `answer`.

    >>> Solved("3 5 1 2: largest 5", "5").chain
    '3 5 1 2: largest 5 \\\\boxed{5}'
    """

    steps: str
    answer: str

    @property
    def chain(self) -> str:
        return f"{self.steps} \\boxed{{{self.answer}}}"


def always(scene: Scene) -> bool:
    """The `valid` of questions that every scene of their kind can answer."""
    return True


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one kind of picture.

    `kind` groups questions that differ in a word only (which color, which place). `level` is 1 (one thing to read),
    2 (several things, one step) or 3 (several steps). `solve` works on any scene of the kind, also where a misreading
    made the question ambiguous; `valid` says whether it has exactly one answer, and only then it is asked.
    With `choices`, the answer is a letter, "A" for the first.
    """

    text: str
    kind: str
    level: int
    solve: Callable[[Any], Solved]
    valid: Callable[[Any], bool] = always
    choices: tuple[str, ...] | None = None
    unit: str | None = None

    def chain(self, scene: Scene, rng: Random, wrong_readings: float) -> str:
        """The chain of a reader who misreads each thing with probability `wrong_readings`; ends in `\\boxed{...}`."""
        return self.solve(scene.misread(rng, wrong_readings)).chain


def look(value: T, values: Sequence[T], rng: Random, wrong: float) -> T:
    """One thing read: `value`, or with probability `wrong` another one of `values`, each as likely."""
    if rng.random() >= wrong:
        return value
    return rng.choice([other for other in values if other != value])


def match_contents(pattern: re.Pattern[str], contents: str, kind: str, lengths: tuple[int, ...]) -> list[re.Match[str]]:
    """Match each comma-separated entry of a key's contents, of which there are as many as one of `lengths`.

    Raises DataError where an entry or their number does not fit.
    """
    matches = [match for entry in contents.split(",") if (match := pattern.fullmatch(entry))]
    if len(matches) not in lengths or len(matches) != contents.count(",") + 1:
        raise DataError(f'"{kind}:{contents}" is not the key of a picture; take keys from meta["key"] of a world row')
    return matches
