"""Answers and thoughts between tags: `<answer>...</answer>`, `<think>...</think>`."""

from __future__ import annotations

import re

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought)>", re.IGNORECASE)


def last_tagged(text: str, name: str) -> str | None:
    """What stands in the last `<NAME>...</NAME>` that is closed, None where there is none."""
    span = last_tag(text, name)
    return None if span is None else text[span[0] + len(name) + 2 : span[1] - len(name) - 3]


def last_tag(text: str, name: str) -> tuple[int, int] | None:
    """Where the last `<NAME>...</NAME>` that is closed stands, tags and all. One pass over the text."""
    span: tuple[int, int] | None = None
    start: int | None = None
    for match in re.finditer(rf"<(/?){re.escape(name)}>", text, re.IGNORECASE):
        if not match[1]:
            start = match.start()
        elif start is not None:
            span, start = (start, match.end()), None
    return span


def after_thinking(text: str) -> str:
    """What follows the last thought; the thoughts themselves where nothing does."""
    ends = [match.end() for match in _THOUGHT.finditer(text) if match[1]]
    return text[ends[-1] :] if ends and text[ends[-1] :].strip() else _THOUGHT.sub(" ", text)
