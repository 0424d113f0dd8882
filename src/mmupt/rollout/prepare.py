"""The next prompts of a stream, encoded; what cannot be used is skipped and counted, or stops the run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmupt.data.stream import PromptStream
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.types import EncodedPrompt, Prompt


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt drawn from the stream for the `visit`-th time (from 0), ready for the model."""

    prompt: Prompt
    visit: int
    encoded: EncodedPrompt


@dataclass(slots=True)
class Preparer:
    """Draws and encodes. `skip_long` and `skip_bad` come from `prompt.too_long` and `data.bad_rows`; `skipped` counts
    how often each prompt id was passed over."""

    stream: PromptStream[Prompt]
    encoder: PromptEncoder
    skip_long: bool
    skip_bad: bool
    skipped: dict[str, int] = field(default_factory=dict)

    def take(self, n: int) -> list[Prepared]:
        """The next `n` prompts that can be used. DataError where a whole pass over the data finds none."""
        prepared: list[Prepared] = []
        in_vain = 0
        while len(prepared) < n:
            for draw in self.stream.take(n - len(prepared)):
                try:
                    prepared.append(Prepared(draw.item, draw.visit, self.encoder(draw.item)))
                    in_vain = 0
                except DataError as error:
                    if not (self.skip_long if isinstance(error, PromptTooLong) else self.skip_bad):
                        raise
                    self.skipped[draw.item.id] = self.skipped.get(draw.item.id, 0) + 1
                    in_vain += 1
                    if in_vain >= len(self.stream):
                        raise DataError(
                            f"none of the {len(self.stream)} prompts can be used; the last: {error}"
                        ) from error
        return prepared
