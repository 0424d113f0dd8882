"""What a model said to a question, as it is kept."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mmupt.runtime.files import well_formed
from mmupt.types import Rollout, StopReason

RESPONSE = pa.struct([("text", pa.string()), ("stop", pa.string()), ("num_tokens", pa.int32())])
"""A `Response` in a Parquet file."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a model wrote, and how it came to an end."""

    text: str
    stop: StopReason
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Responses:
    """All that a model said to one question: once greedily and k times by sampling."""

    greedy: Response
    samples: tuple[Response, ...]


def response_of(rollout: Rollout) -> Response:
    return Response(well_formed(rollout.text), rollout.stop, len(rollout.token_ids))


def response_value(response: Response) -> dict[str, object]:
    """A response as a value of type `RESPONSE`."""
    return {"text": response.text, "stop": response.stop, "num_tokens": response.num_tokens}
