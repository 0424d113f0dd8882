"""Pages read the same where Markdown is CommonMark (a forge, an editor) and where it is Python-Markdown (the site)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_pages import DOCS

PARSER = MarkdownIt("commonmark").enable("table")
BLOCKS = ("paragraph_open", "fence", "table_open", "blockquote_open", "html_block")
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_lists_are_lists_everywhere(page: Path) -> None:
    faults = [f"{page.name}:{line}: {fault}" for line, fault in read_differently(page.read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


def read_differently(text: str) -> Iterator[tuple[int, str]]:
    """Python-Markdown wants four spaces before what belongs to a list item, and an empty line before a list."""
    lines = text.splitlines()
    depth = 0  # of lists
    items: set[int] = set()  # lines on which an item begins
    for token in PARSER.parse(text):
        if token.type.endswith("list_close"):
            depth -= 1
        if token.map is None:
            continue
        first = token.map[0]
        before = lines[first - 1] if first > 0 else ""
        if token.type.endswith("list_open"):
            if depth == 0 and before.strip() and not before.startswith("#"):
                yield first + 1, "a list needs an empty line before it"
            if depth > 0 and _indent(lines[first]) < 4 * depth:
                yield first + 1, "a list within a list item needs four spaces before it"
            depth += 1
        elif token.type == "list_item_open":
            items.add(first)
        elif token.type in BLOCKS and depth > 0 and first not in items and _indent(lines[first]) < 4 * depth:
            yield first + 1, "what belongs to a list item needs four spaces before it"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("- a\n- b\n", 0),
        ("words\n- a\n", 1),
        ("# title\n- a\n", 0),
        ("- a\n  - b\n", 1),
        ("- a\n    - b\n", 0),
        ("1. a\n\n   more\n", 1),
        ("1. a\n\n    more\n", 0),
        ("- a\n\n  ```text\n  b\n  ```\n", 1),
        ("- a\n\n  | x |\n  |---|\n  | y |\n", 1),
    ],
)
def test_what_is_found(text: str, faults: int) -> None:
    assert len(list(read_differently(text))) == faults
