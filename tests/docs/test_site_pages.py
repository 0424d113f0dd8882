"""The pages that are made, and the navigation: nothing is left out, nothing is named that is not there.

`make docs` builds the site itself, where a warning is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
import yaml
from commands_page import commands_page
from markdown_pages import DOCS, ROOT
from settings_page import collect, settings_page

import mmupt.pipeline  # noqa: F401  (every settings class there is)
from mmupt.cli import app
from mmupt.data.settings import ReadingStage
from mmupt.recipe import Recipe
from mmupt.recipe.kinds import STAGE_MODELS
from mmupt.recipe.rounds import Looped
from mmupt.selftrain.settings import MakingStage
from mmupt.settings import Settings
from mmupt.train.settings import TrainStage

NO_TABLES = {ReadingStage, TrainStage, MakingStage, Looped}
"""Bases of stages, and what reads a loop."""

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("mmupt."):
            yield model
        yield from subclasses(model)


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The page of all settings by anchor."""
    parts = re.split(r"^#{2,3} .*\{ #([\w-]+) \}$", settings_page(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class TestConfiguration:
    def test_every_settings_class_has_its_place(self) -> None:
        on_the_page = {*collect(), Recipe, *STAGE_MODELS.values()}
        assert set(subclasses(Settings)) - NO_TABLES == on_the_page

    def test_every_key_choice_and_paragraph(self, sections: dict[str, str]) -> None:
        for model, table in collect().items():
            self.complete(model, sections[table.anchor])
        self.complete(Recipe, sections["recipe"])
        for kind, model in STAGE_MODELS.items():
            self.complete(model, sections["rl" if kind == "upt" else kind])

    def complete(self, model: type[Settings], section: str) -> None:
        words = (model.__doc__ or "").split()
        assert " ".join(words) in " ".join(section.split())
        for key, field in model.model_fields.items():
            (row,) = re.findall(rf"^\| `{key}` \|.*$", section, flags=re.M)
            if get_origin(field.annotation) is Literal:
                assert all(f'"{choice}"' in row for choice in get_args(field.annotation))

    def test_what_a_row_says(self, sections: dict[str, str]) -> None:
        assert "| `group_size` | whole number, ≥ 2 | `10` |  |" in sections["rollout"]
        assert "| `group_size` | whole number, ≥ 1 | `10` |  |" in sections["rollout-2"]
        assert '| `dual_clip` | number or "none", > 1 | `3.0` |  |' in sections["algo"]
        assert "| `share` | [number, number] | `[0.0, 1.0]` |  |" in sections["select"]
        assert "| `steps` | whole number, ≥ 1 | needed |  |" in sections["rl"]
        assert "weigh each token's KL by pi / pi_old" in sections["algo"]  # a comment behind a field
        assert "pairs an optimiser step" in sections["dpo"]  # a description of a field

    def test_links_lead_to_sections(self, sections: dict[str, str]) -> None:
        linked = set(re.findall(r"\]\(#([\w-]+)\)", settings_page()))
        assert linked - {"stages"} <= sections.keys()


def test_every_command_and_option() -> None:
    page = commands_page()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        (section,) = re.findall(rf"^## mmupt {name} .*?(?=^## |\Z)", page, flags=re.M | re.S)
        assert (command.help or "").split("\n")[0][:40] in section.replace("\\", "")
        for param in command.params:
            assert all(f"`{option}" in section or f" {option}" in section for option in param.opts if option[0] == "-")
    assert "| `--prompts N` | Questions to ask, chosen by a hash of their ids. | `200` |" in page
    assert "mmupt eval --model TEXT [OPTIONS]" in page


def navigation(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from navigation(inner)


def test_the_navigation_has_every_page() -> None:
    named = list(navigation(SITE["nav"]))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    made = {"reference/configuration.md", "reference/commands.md"}
    assert len(named) == len(set(named))
    assert there <= set(named), "name the page in mkdocs.yml"
    assert set(named) - there == made, "mkdocs.yml names pages that are not there"


def test_the_reference_names_modules_that_exist() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for module in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), flags=re.M):
            path = ROOT / "src" / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_examples_in_docstrings_become_code() -> None:
    fenced = pytest.importorskip("docstrings", reason="the docs extra is not installed").fenced
    text = "Adds.\n\n>>> 1 + 1\n2\n\nAnd that is all."
    assert fenced(text) == "Adds.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nAnd that is all."
