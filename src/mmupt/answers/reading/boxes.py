r"""Where the boxes of a response are: `\boxed{...}` and `\fbox{...}`, with whatever braces they hold."""

from __future__ import annotations

import re

Span = tuple[int, int]
"""Start and end of a box's content."""

_TOKEN = re.compile(r"\\(?:boxed|fbox)\s{0,8}\{|\\.|[{}]", re.DOTALL)
_LINE_OR_MATHS_END = re.compile(r"\n|(?<!\\)\$|\\[)\]]")
_BETWEEN_JOINED = re.compile(r"\}[\s$,&]{0,6}(?:\\text\s?\{)?(?:\s?(?:and|or)\s?)?\}?[\s$,&]{0,6}")
_JOINED_REACH = 30  # characters between two boxes that are read together: `$\boxed{3}$ and $\boxed{4}$`
_MOST_JOINED = 8


def closed_boxes(text: str) -> list[Span]:
    """The boxes that are closed, in the order in which they open. One pass over the text."""
    return _scan(text)[0]


def last_box(text: str) -> Span | None:
    """Of the boxes that are closed, the one that opens last."""
    boxes = closed_boxes(text)
    return boxes[-1] if boxes else None


def whole_box(text: str, content: Span) -> Span:
    r"""A closed box with its `\boxed{` and its brace, from where its content stands."""
    return text.rfind("\\", 0, content[0]), content[1] + 1


def unclosed_box(text: str) -> Span | None:
    r"""The content of a box behind all closed ones whose brace was forgotten, up to the end of its line or formula.

    None where there is no such box. Where the text itself ends inside the box, the span ends with the text: digits may
    be missing there, and the caller decides.
    """
    boxes, start = _scan(text)
    if start is None or (boxes and boxes[-1][0] > start):
        return None
    end = _LINE_OR_MATHS_END.search(text, start)
    return start, end.start() if end else len(text)


def joined_boxes(text: str, boxes: list[Span]) -> list[Span]:
    r"""The last box, with those before it that "and", "or" or a comma join to it: `\boxed{3} and \boxed{4}`."""
    joined = boxes[-1:]
    for box in reversed(boxes[:-1][-_MOST_JOINED:]):
        between = text[box[1] : joined[0][0]]
        opening = between.rfind("\\")
        if not 0 < len(between) <= _JOINED_REACH or opening < 1:
            break
        if not _BETWEEN_JOINED.fullmatch(between[:opening]) or not re.search(r"and|or|,|&", between[:opening]):
            break
        joined.insert(0, box)
    return joined


def _scan(text: str) -> tuple[list[Span], int | None]:
    """The closed boxes in order, and where the content of the last unclosed one starts."""
    boxes: list[Span] = []
    open_braces: list[int | None] = []  # where a box's content starts, None for any other brace
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "{":
            open_braces.append(None)
        elif token == "}":
            start = open_braces.pop() if open_braces else None
            if start is not None:
                boxes.append((start, match.start()))
        elif token.endswith("{") and len(token) > 2:
            open_braces.append(match.end())
    boxes.sort()  # a box inside another closes before it
    return boxes, next((start for start in reversed(open_braces) if start is not None), None)
