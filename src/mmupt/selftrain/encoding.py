"""From prompts to what the model reads, and from what it wrote to what is kept; what cannot be asked has a reason."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.errors import DataError
from mmupt.evals.responses import Response
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.families.base import Family
from mmupt.runtime.files import well_formed
from mmupt.selftrain.settings import MakingStage
from mmupt.types import EncodedPrompt, Prompt, Rollout


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


def reserved_texts(family: Family) -> tuple[str, ...]:
    """The texts of tokens that end a response or that the model never writes. A response can spell one letter by
    letter; as a target it would be read as the token."""
    ids = sorted(family.end_ids.union(family.banned_ids))
    return tuple(text for text in family.tokenizer.convert_ids_to_tokens(ids) if text)  # None behind the last token


def response_of(rollout: Rollout) -> Response:
    return Response(well_formed(rollout.text), rollout.stop, len(rollout.token_ids))
