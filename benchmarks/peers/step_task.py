"""What a measurement is told and what it answers: shared by the driver and both sides, standard library alone."""

from __future__ import annotations

import json
import resource
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROMPTS, GROUP = 2, 10  # prompts of a step, completions of a prompt
LEARNING_RATE = 1e-6
PATCH = 28  # pixels along the side of a merged patch, one token
MIN_PIXELS, MAX_PIXELS = 56 * 56, 1280 * PATCH * PATCH
WARM_UP = {"prompt": 92, "completion": 8, "steps": 1}  # before the measurement, with a model and optimiser of its own


@dataclass(frozen=True, slots=True)
class Shape:
    """A prompt of `prompt` tokens: a picture of `rows` x `columns` merged patches, the rest is text."""

    prompt: int
    rows: int
    columns: int


# Pictures of 64, 896 and 896 tokens: the prompt of 2000 tokens is that of 1000 with more text.
SHAPES = {shape.prompt: shape for shape in (Shape(92, 8, 8), Shape(1000, 28, 32), Shape(2000, 28, 32))}


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement. `folder` is what step_model.py made; an update forwards `groups` groups at once."""

    folder: str
    prompt: int
    completion: int
    beta: float
    steps: int
    threads: int
    groups: int

    @property
    def model(self) -> str:
        return str(Path(self.folder) / "model")

    def questions(self) -> list[dict[str, str]]:
        """PROMPTS rows of "question" and "picture" (a path), each `prompt` tokens long in the chat template."""
        return self._read("prompts.json")[str(self.prompt)]

    def never_sampled(self) -> list[int]:
        """Picture placeholders and their like, and every end token: all completions are `completion` tokens long."""
        return self._read("never_sampled.json")

    def _read(self, name: str) -> Any:
        return json.loads((Path(self.folder) / name).read_text(encoding="utf-8"))

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Task:
        return cls(**json.loads(argument))


def reward(token_ids: Sequence[int]) -> float:
    """In [0, 1) and different for each completion of a group: no advantage is zero, so no side can leave one out."""
    return zlib.crc32(b"".join(token.to_bytes(4, "little") for token in token_ids)) / 2**32


def peak_rss() -> int:
    """Bytes, the most this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}


def answer(result: dict[str, Any]) -> None:
    """The last line of standard output; libraries may print before it."""
    print("\n" + json.dumps(result), flush=True)
