"""The next prompts of a stream, encoded; what cannot be used is skipped and counted, or stops the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """The prompts of one step. `stream_state` is where the stream stood behind them, for a checkpoint: the stream
    itself may have gone on by now. `skipped` counts the draws passed over up to here."""

    prompts: list[Prepared]
    stream_state: Mapping[str, Any]
    skipped: int


@dataclass(frozen=True, slots=True)
class Preparer:
    """Draws and encodes. `skip_long` and `skip_bad` come from `prompt.too_long` and `data.bad_rows`."""

    stream: PromptStream[Prompt]
    encoder: PromptEncoder
    skip_long: bool
    skip_bad: bool

    def batches(self, n: int, count: int) -> Iterator[PreparedBatch]:
        """`count` batches of `n` prompts that can be used, each prepared when it is asked for; `ahead` of them runs
        this in the background. DataError where no prompt at all can be used."""
        skipped = 0
        for _ in range(count):
            prompts, passed_over = self._take(n)
            skipped += passed_over
            yield PreparedBatch(prompts, self.stream.state_dict(), skipped)

    def _take(self, n: int) -> tuple[list[Prepared], int]:
        """The next `n` prompts, and how many draws were passed over on the way."""
        prepared: list[Prepared] = []
        skipped = 0
        useless: set[str] = set()  # since the last one that could be used
        while len(prepared) < n:
            for draw in self.stream.take(n - len(prepared)):
                try:
                    prepared.append(Prepared(draw.item, draw.visit, self.encoder(draw.item)))
                    useless.clear()
                except DataError as error:
                    if not (self.skip_long if isinstance(error, PromptTooLong) else self.skip_bad):
                        raise
                    skipped += 1
                    useless.add(draw.item.id)
                    if len(useless) == len(self.stream):
                        raise DataError(f"none of the {len(useless)} prompts can be used; the last: {error}") from error
        return prepared, skipped
