"""From prompts to what the model reads; what cannot be asked has a reason."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.selftrain.settings import MakingStage
from mmupt.types import EncodedPrompt, Prompt


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a prompt is not put to the model."""

    why: str


def encode(prompt: Prompt, encoder: PromptEncoder, stage: MakingStage) -> EncodedPrompt | Refused:
    """DataError for what the stage's settings do not let pass."""
    try:
        return encoder(prompt)
    except DataError as error:
        too_long = isinstance(error, PromptTooLong)
        if (stage.prompt.too_long if too_long else stage.data.bad_rows) == "stop":
            raise
        return Refused("too long" if too_long else "bad row")
