"""What an engine is: it turns encoded prompts into rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmupt.types import EncodedPrompt, Rollout


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the seed of each of its rollouts; the group's size is the number of seeds."""

    encoded: EncodedPrompt
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Temperature 0 is greedy."""

    temperature: float
    top_p: float
    max_new_tokens: int


class Engine(Protocol):
    """Samples from the weights of one model."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """Rollouts of each request, in the order of its seeds. What a seed samples depends on neither batch nor
        neighbours, but for float error."""
        ...

    def release(self) -> None:
        """The weights are about to move. Until the next `generate` the engine needs no memory of the device, and what
        is sampled then comes from the weights as they are then."""
        ...
