"""Every link between pages leads somewhere: the file is there, and so is the heading behind the #."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_page import commands_page
from markdown_pages import DOCS, ROOT, anchors, links, pages
from settings_page import settings_page

GENERATED = {DOCS / "reference" / "configuration.md": settings_page, DOCS / "reference" / "commands.md": commands_page}
PAGES = [*pages(), ROOT / "CHANGELOG.md"]


@pytest.fixture(scope="module")
def known() -> dict[Path, set[str]]:
    """The anchors of every page, those that are made for the site included."""
    return {
        **{page: anchors(page.read_text(encoding="utf-8")) for page in PAGES},
        **{page: anchors(make()) for page, make in GENERATED.items()},
    }


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_resolve(page: Path, known: dict[Path, set[str]]) -> None:
    found = [(where, address, broken(page, address, known)) for where, address in links(page)]
    faults = [f"{where}: {address}: {fault}" for where, address, fault in found if fault]
    assert not faults, "\n".join(faults)


def broken(page: Path, address: str, known: dict[Path, set[str]]) -> str | None:
    if "://" in address or address.startswith("mailto:"):
        return None
    path, _, anchor = address.partition("#")
    target = (page.parent / path).resolve() if path else page
    if target not in known:
        return None if target.exists() and not anchor else "no such file"
    if target.is_relative_to(DOCS) and not page.is_relative_to(DOCS) and target in GENERATED:
        return "is made for the site alone; name the page in words"
    return f"no heading {anchor}" if anchor and anchor not in known[target] else None


def test_pages_of_the_site_link_within_it() -> None:
    outside = [
        f"{where}: {address}"
        for page in sorted(DOCS.rglob("*.md"))
        for where, address in links(page)
        if "://" not in address and not (page.parent / address.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert not outside, "the site holds docs/ alone"


def test_a_broken_link_is_found(known: dict[Path, set[str]]) -> None:
    page = DOCS / "guard.md"
    assert broken(page, "nothing.md", known) == "no such file"
    assert broken(page, "probe.md#nothing", known) == "no heading nothing"
    assert broken(page, "probe.md#no-labels", known) is None
    assert broken(page, "#switching-off", known) is None
    assert broken(page, "reference/configuration.md#guard", known) is None
    assert broken(page, "figures/stability.png", known) is None
