"""Pages read the same where Markdown is CommonMark (a forge, an editor) and where it is Python-Markdown (the site)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_pages import DOCS

PARSER = MarkdownIt("commonmark").enable("table")
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_lists_are_lists_everywhere(page: Path) -> None:
    faults = [f"{page.name}:{line}: {fault}" for line, fault in read_differently(page.read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


def read_differently(text: str) -> Iterator[tuple[int, str]]:
    """Python-Markdown wants four spaces before what belongs to a list item, and an empty line before a list."""
    lines = text.splitlines()
    depth, items = 0, []
    for token in PARSER.parse(text):
        if token.type.endswith("list_close"):
            depth -= 1
        if token.map is not None and token.type in ("bullet_list_open", "ordered_list_open"):
            first = token.map[0]
            if depth == 0 and first > 0 and lines[first - 1].strip() and not lines[first - 1].startswith("#"):
                yield first + 1, "a list needs an empty line before it"
        if token.map is not None and depth > 0 and token.type.endswith(("_open", "fence")) and token.map[0] not in items:
            indent = len(lines[token.map[0]]) - len(lines[token.map[0]].lstrip())
            if token.type not in ("list_item_open", "thead_open", "tr_open", "th_open", "tbody_open", "td_open"):
                if indent < 4 * depth:
                    yield token.map[0] + 1, "what belongs to a list item needs four spaces before it"
        if token.type.endswith("list_open"):
            depth += 1
        if token.type == "list_item_open" and token.map is not None:
            items.append(token.map[0])


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
