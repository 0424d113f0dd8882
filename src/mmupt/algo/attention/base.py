"""Attention within a packed row: what a backend is, and the regions that all of them compute.

Suffixes: H query heads, K key and value heads (H is a multiple of K), L positions of the row, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from mmupt.errors import ConfigError
from mmupt.types import GroupSpan


class Attention(Protocol):
    """The attention of one forward, called once a layer. Which position sees which is the backend's own knowledge: no
    mask travels through the model."""

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        """softmax(scale x query key^T) value over what each position sees, [1, L, H, d].

        `window` is that of a sliding-window layer: a position sees itself and the `window - 1` before it, counted
        through [prompt | own completion]; siblings and other groups take no room in it.
        """
        ...


@dataclass(frozen=True, slots=True)
class CausalRun:
    """`count` segments of `length` positions each, end to end from `start`; a position sees its own segment up to
    itself."""

    start: int
    count: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.count * self.length


@dataclass(frozen=True, slots=True)
class Cross:
    """Positions `start` to `end` (the completions of a group) see all of `prompt_start` to `start` (its prompt)."""

    prompt_start: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Regions:
    """What a row's attention consists of. Each position lies in one causal run; completions lie in one cross region
    besides. Together these are exactly the pairs that the repeated forward computes, the prompt's only once."""

    causal: tuple[CausalRun, ...]
    cross: tuple[Cross, ...]


def longest_view(spans: Sequence[GroupSpan]) -> int:
    """The most positions anybody in the row sees; a window of that size or more hides nothing."""
    return max((span.longest for span in spans), default=0)


def has_blocks(spans: Sequence[GroupSpan]) -> bool:
    """Whether some tokens see what stands behind them."""
    return any(span.blocks for span in spans)


def cannot(kind: str) -> ConfigError:
    """What a backend says that computes causal attention only and was asked for more."""
    return ConfigError(
        f'model.attention = "{kind}" computes neither sliding windows nor pictures that are seen both ways, and this '
        'model has such layers; use "auto", "dense" or "flex"'
    )


def regions(spans: Sequence[GroupSpan]) -> Regions:
    """Neighbours of equal length join one causal run, so that they are computed in one call. Blocks are not regions:
    backends built on these refuse them.

    >>> [(run.start, run.count, run.length) for run in regions([GroupSpan(0, 4, (2, 2, 3))]).causal]
    [(0, 1, 4), (4, 2, 2), (8, 1, 3)]
    """
    causal: list[CausalRun] = []
    cross: list[Cross] = []
    at = 0
    for span in spans:
        for length in (span.prompt, *span.completions):
            if causal and causal[-1].length == length and causal[-1].end == at:
                causal[-1] = CausalRun(causal[-1].start, causal[-1].count + 1, length)
            else:
                causal.append(CausalRun(at, 1, length))
            at += length
        if span.completions:
            cross.append(Cross(span.start, span.first_completion, span.end))
    return Regions(tuple(causal), tuple(cross))
