"""What the site has beyond the pages of docs/: generated pages, figures that follow the colours of the page, and a
check that nothing is fetched from elsewhere."""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from commands_page import commands_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from settings_page import settings_page

GENERATED = {"reference/configuration.md": settings_page, "reference/commands.md": commands_page}
_FIGURE = re.compile(r'<img alt="([^"]*)" src="([^"]+\.svg)" ?/?>')
_FETCHED = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(https?:)?//|<link\b[^>]*\bhref="(https?:)?//[^>]*>')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """SVG figures stand in the page itself, so that they have its colours, dark or light."""

    def inline(match: re.Match[str]) -> str:
        figure = Path(config.docs_dir, posixpath.dirname(page.file.src_uri), match[2])
        ET.fromstring(text := figure.read_text(encoding="utf-8"))  # raises on what is no XML
        return f'<figure class="drawing" role="img" aria-label="{match[1]}">{text}</figure>'

    return _FIGURE.sub(inline, html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The site is for machines without a network too."""
    if (found := _FETCHED.search(output)) is not None:
        raise PluginError(f"{page.file.src_uri}: fetches something from elsewhere: {found[0]}")
    return output
