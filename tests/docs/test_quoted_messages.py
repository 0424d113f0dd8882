"""Messages that a page quotes, so that its reader finds them by searching, are messages that mmupt writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_pages import DOCS, ROOT

PAGES = [DOCS / "troubleshooting.md", DOCS / "how-to" / "resume.md"]
ELSEWHERE = {"image features and image tokens do not match"}
"""Of other tools."""


@pytest.fixture(scope="module")
def source() -> str:
    """The package's own text, with string literals that stand on several lines joined."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "src").rglob("*.py")))
    return re.sub(r"""(["'])\s*\n\s*f?["']""", "", text)


def quoted(page: Path) -> list[str]:
    """What stands in quotes in a heading or in the first cell of a row."""
    text = page.read_text(encoding="utf-8")
    places = re.findall(r"^### (.*)$|^\| (\".*?\") \|", text, flags=re.M)
    return [message for heading, cell in places for message in re.findall(r'"([^"]+)"', heading or cell)]


def missing(message: str, source: str) -> list[str]:
    """Those of its parts that mmupt does not write; what a message fills in is `...`, or in quotes itself."""
    parts = [part.strip(" ,") for part in re.split(r"\.\.\.|'[^']*'", message)]
    return [part for part in parts if part and part not in source]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_quoted_messages_exist(page: Path, source: str) -> None:
    messages = quoted(page)
    assert len(messages) >= 4
    assert {m: parts for m in messages if m not in ELSEWHERE and (parts := missing(m, source))} == {}


def test_a_message_that_nobody_writes_is_found(source: str) -> None:
    assert missing("the run folder is haunted", source)
    assert not missing("was begun with another recipe", source)
