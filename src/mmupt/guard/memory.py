"""What a stage remembers of its prompts between visits: the majority answer, and how often it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmupt.answers.equivalence import same
from mmupt.types import Prompt, Vote


@dataclass(slots=True)
class _Seen:
    answer: str
    compared: int = 0
    flips: int = 0


class PromptMemory:
    """The majority answers of prompts, by id. Visits without a majority are not remembered: they are no flips."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def remember(self, prompt: Prompt, vote: Vote) -> bool | None:
        """Takes note of a visit; whether the majority answer has flipped since the last one with a majority, None
        where there was none."""
        if vote.winner is None:
            return None
        answer = vote.winner.answer
        seen = self._seen.get(prompt.id)
        if seen is None:
            self._seen[prompt.id] = _Seen(answer)
            return None
        flipped = not same(seen.answer, answer, choices=prompt.choices)
        seen.answer = answer
        seen.compared += 1
        seen.flips += flipped
        return flipped

    def flip_rate(self, prompt_id: str) -> float:
        """Flips a comparison, 0.0 where a prompt has been seen once or never."""
        seen = self._seen.get(prompt_id)
        return seen.flips / seen.compared if seen is not None and seen.compared else 0.0

    def state(self) -> dict[str, Any]:
        return {prompt_id: [seen.answer, seen.compared, seen.flips] for prompt_id, seen in self._seen.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._seen = {prompt_id: _Seen(*entry) for prompt_id, entry in state.items()}
