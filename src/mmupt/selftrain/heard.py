"""What a model said to one prompt: the evidence that rules decide on. It holds no label."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmupt.evals.responses import Response
from mmupt.types import Prompt


@dataclass(frozen=True, slots=True)
class Heard:
    """`prompt` is what a row is learned under; its id is that of the prompt in the data. `answers` has one entry a
    response, None where none could be read. `scores`, where the stage judges, are the model's own verdicts on them,
    None where there is none. `how` says in what way the responses came about where there are several ways.

    A prompt that could not be asked has no responses, and `refused` says why.
    """

    prompt: Prompt
    responses: tuple[Response, ...] = ()
    answers: tuple[str | None, ...] = ()
    scores: tuple[float | None, ...] | None = None
    how: str | None = None
    refused: str | None = None

    def whole(self, index: int) -> bool:
        """Whether the response came to an end: one that was cut off must not be imitated, and the end token that
        training closes it with was never written."""
        return self.responses[index].stop == "end"

    def judged(self, scores: tuple[float | None, ...]) -> Heard:
        return replace(self, scores=scores)
