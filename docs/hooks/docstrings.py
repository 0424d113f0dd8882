"""Docstrings for the reference: what is an example in Python becomes a code block.

mmupt's docstrings are plain Markdown, with examples as `>>>` lines. In Markdown these would be quotations.
"""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Fences the `>>>` lines of every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with each paragraph that begins with `>>>` as a code block.

    >>> print(fenced(">>> 1 + 1\\n2"))
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```pycon\n{p}\n```" if p.startswith(">>>") else p for p in paragraphs)
