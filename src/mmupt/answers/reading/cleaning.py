"""A response without what surrounds its text: special tokens, control characters, emphasis."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmupt.answers.text import printable

_SPECIAL_TOKEN = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>|<(?:eos|pad|end_of_turn)>")
_LITERAL_NEWLINE = re.compile(r"(?:\\n)+(?![a-z])")  # text that was escaped twice; `\neq` stays
_SPACES = re.compile(r"[^\S\n]+")
_EMPHASIS = re.compile(r"(?<![\w)*}])\*\*(?!\*)|(?<!\*)\*\*(?![\w(*\\])")
_BROKEN_BOX = re.compile(r"\x08oxed\b|(?<![\\\w])boxed(?=\{)")  # an escape or a backslash that was lost
_BOLD = re.compile(r"\*\*(?![\s*])([^*\n]{1,80})\*\*")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A response as it is read, and what stood in bold in it."""

    text: str
    bold: tuple[str, ...]


def clean(response: str) -> Cleaned:
    """Printable text with single spaces, real newlines, repaired boxes, and no Markdown emphasis."""
    text = _BROKEN_BOX.sub(r"\\boxed", response)
    text = printable(_LITERAL_NEWLINE.sub("\n", _SPECIAL_TOKEN.sub(" ", text)))
    text = _SPACES.sub(" ", text)
    return Cleaned(_EMPHASIS.sub("", text).strip(), tuple(bold[1] for bold in _BOLD.finditer(text)))
