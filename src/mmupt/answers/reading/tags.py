"""Answers and thoughts between tags: `<answer>...</answer>`, `<think>...</think>`."""

from __future__ import annotations

import re

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought)>", re.IGNORECASE)


def last_tagged(text: str, name: str) -> str | None:
    """What stands in the last `<NAME>...</NAME>` that is closed, None where there is none. One pass over the text."""
    content: str | None = None
    start: int | None = None
    for match in re.finditer(rf"<(/?){re.escape(name)}>", text, re.IGNORECASE):
        if not match[1]:
            start = match.end()
        elif start is not None:
            content, start = text[start : match.start()], None
    return content


def after_thinking(text: str) -> str:
    """What follows the last thought; the thoughts themselves where nothing does."""
    ends = [match.end() for match in _THOUGHT.finditer(text) if match[1]]
    return text[ends[-1] :] if ends and text[ends[-1] :].strip() else _THOUGHT.sub(" ", text)
