"""A rollout that has ended, before and after its text is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmupt.types import Rollout, StopReason


@dataclass(frozen=True, slots=True)
class Finished:
    """A rollout without its text."""

    token_ids: list[int]
    logprobs: list[float]
    stop: StopReason


def with_texts(finished: Sequence[Sequence[Finished]], tokenizer: Any) -> list[tuple[Rollout, ...]]:
    """The same with their texts: special tokens, the end token above all, are not part of them."""
    spoken = [f.token_ids[:-1] if f.stop == "end" else f.token_ids for group in finished for f in group]
    texts = iter(tokenizer.batch_decode(spoken, skip_special_tokens=True) if spoken else ())
    return [
        tuple(Rollout(tuple(f.token_ids), tuple(f.logprobs), next(texts), f.stop) for f in group) for group in finished
    ]
