"""What stands in a Markdown page: code blocks, inline code, headings, links."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_PARSER = MarkdownIt("commonmark").enable("table")
_MARKER = re.compile(r"<!-- not run: (.+?) -->\s*")
_OWN_ID = re.compile(r"\s*\{ #([\w-]+) \}$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is where it begins, `not_run` the reason in the comment before it, if there is one."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README and everything in docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    tokens = _PARSER.parse(page.read_text(encoding="utf-8"))
    found = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("fence", "code_block"):
            marker = _MARKER.fullmatch(before.content) if before is not None and before.type == "html_block" else None
            line = token.map[0] + 1 if token.map else 0
            found.append(Block(page, line, token.info, token.content, marker[1] if marker else None))
    return found


def inline_code(page: Path) -> Iterator[tuple[str, str]]:
    """(where, code) of all code in running text and tables."""
    for token, inner in _inline(page.read_text(encoding="utf-8")):
        if inner.type == "code_inline":
            yield f"{page.relative_to(ROOT)}:{token.map[0] + 1 if token.map else 0}", inner.content


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(where, address) of all links and pictures."""
    for token, inner in _inline(page.read_text(encoding="utf-8")):
        address = inner.attrs.get("href") or inner.attrs.get("src")
        if address:
            yield f"{page.relative_to(ROOT)}:{token.map[0] + 1 if token.map else 0}", str(address)


def anchors(text: str) -> set[str]:
    """What a link may name behind #, as the site's generator forms it from headings."""
    tokens = _PARSER.parse(text)
    found: set[str] = set()
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            name = _heading(content)
            own = _OWN_ID.search(name)
            found.add(own[1] if own else _numbered(_slug(name), found))
    return found


def _inline(text: str) -> Iterator[tuple[Token, Token]]:
    for token in _PARSER.parse(text):
        for inner in token.children or ():
            yield token, inner


def _heading(content: Token) -> str:
    return "".join(inner.content for inner in content.children or () if inner.type in ("text", "code_inline"))


def _slug(name: str) -> str:
    """Python-Markdown's `toc.slugify`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _numbered(slug: str, taken: set[str]) -> str:
    if slug not in taken:
        return slug
    return next(name for number in range(1, 1000) if (name := f"{slug}_{number}") not in taken)
