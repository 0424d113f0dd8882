"""Foreign text inside a Markdown page: it is shown, and never does anything.

A page of the hub is CommonMark with GitHub's tables, and HTML and mathematics pass through it. In CommonMark any ASCII
punctuation stands for itself behind a backslash (spec 0.31, section 2.4), which switches off HTML, links, images,
automatic links, emphasis, mathematics and the borders of tables alike.
"""

from __future__ import annotations

import re

from mmupt.report.views import clean

_ACTIVE = re.compile(r"([\\`*_{}\[\]()<>#+!|&~$:@=^])")
_LINKED = re.compile(r"www\.", re.IGNORECASE)
_LONGEST = 500


def prose(text: object, limit: int = _LONGEST) -> str:
    """One line of text."""
    line = " ".join(clean(text, limit).split())
    line = _LINKED.sub(lambda match: match[0][:3] + "\\.", _ACTIVE.sub(r"\\\1", line))
    return re.sub(r"^(\d*)([-.])", r"\1\\\2", line)  # no item of a list, no rule


def code(text: object, limit: int = _LONGEST) -> str:
    """One line as a code span, also inside a table's cell. (There alone a backslash in code escapes: a bar.)"""
    line = " ".join(clean(text, limit).split())
    if not line:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    padding = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{padding}{line}{padding}{fence}".replace("|", "\\|")


def block(text: object, language: str = "", limit: int = 200_000) -> str:
    """Lines as they are, behind a fence longer than any inside."""
    body = "\n".join(clean(line, limit) for line in str(text)[:limit].splitlines())
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Cells are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
