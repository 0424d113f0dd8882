"""`[answers]`: how an answer is read from a response."""

from __future__ import annotations

from pydantic import Field

from mmupt.settings import Settings


class AnswerSettings(Settings):
    """`extract` is "boxed", "lenient", or "tag:NAME"; `tolerance` is relative and off by default."""

    extract: str = Field(
        default="boxed",
        pattern=r"^(boxed|lenient|tag:[A-Za-z][A-Za-z0-9_-]*)$",
        description='"boxed", "lenient" or "tag:NAME"',
    )
    tolerance: float = Field(default=0.0, ge=0, lt=1)
