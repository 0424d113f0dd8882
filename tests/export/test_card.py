"""The model card of a real run, and of a run whose every text is hostile, as a Markdown renderer shows them."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from markdown_it import MarkdownIt

from mmupt.export.card import CardFacts, model_card
from mmupt.export.exporting import export_model
from mmupt.export.markdown import block, code, prose, table
from mmupt.export.source import ModelBehind, model_behind

HOSTILE = [
    '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "| a | b |\n|---|---|\n# heading\n\n- item\n\n1. one",
    "``` \n</details><script>alert(1)</script>\n````\n~~~",
    "[click](javascript:alert(1)) ![x](http://a.test/p.png) <http://a.test> http://a.test www.a.test a@b.test",
    "`` ` ` ``` \\` \\| \\\\| *x* __y__ ~~z~~ $$\\frac{1}{0}$$ &lt;b&gt; &#60;",
    "---\nbase_model: evil\n---",
    "\x00\x1b[31m\ud800\u202e\u2028\x85",
    "1. first", "- item", "+ item", "=== ", "> quote", "    code", "<!-- ", "`", "``", "\\",
]  # fmt: skip
ALLOWED = {
    "h1",
    "h2",
    "p",
    "code",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "a",
    "details",
    "summary",
}


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(markdown: str) -> Elements:
    """As the hub would: HTML passes through, tables are tables."""
    page = Elements()
    page.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
    return page


def split(card: str) -> tuple[list[str], str]:
    """Lines of the front matter, and the page behind it."""
    _, front, page = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    return front.strip().splitlines(), page


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_and_does_nothing(text: str) -> None:
    wanted = " ".join(prose(text).replace("\\", "").split())
    for markdown, inside in ((prose(text), ["p"]), (code(text), ["p", "code"])):
        page = shown(markdown)
        assert page.tags in (inside, []) and not page.links, markdown
    cell = shown(table(["a", "b"], [[prose(text), code(text)]]))
    assert cell.tags.count("td") == 2 and set(cell.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert shown(block(text, "toml")).tags == ["pre", "code"]
    assert " ".join(shown(prose(text)).text.replace("\\", "").split()) == wanted  # nothing is lost


def test_plain_text_stays_readable() -> None:
    assert prose("went back to step 30, 12.5 % of it") == "went back to step 30, 12.5 % of it"
    assert code("data/a|b") == "`data/a\\|b`" and code("") == ""
    assert shown(code("a`b``c")).text.strip() == "a`b``c"


def test_card_of_a_run(stopped_run: Path, tmp_path: Path) -> None:
    export_model(str(stopped_run), tmp_path / "out", command="mmupt export x y")
    front, page = split((tmp_path / "out/README.md").read_text())
    assert front == ["library_name: transformers", "tags:", "- mmupt", '- "sft"', "pipeline_tag: image-text-to-text"]
    seen = shown(page)
    assert set(seen.tags) <= ALLOWED and seen.tags.count("table") == 2 and seen.tags.count("details") == 1
    for text in ("stage one of the mmupt run little", "at its end (step 2)", "a run for the tests | of export",
                 "seed 3", "questions with worked answers from world:sft", "mmupt export x y",
                 "95 % intervals"):  # fmt: skip
        assert text in " ".join(seen.text.split()), text
    summary = json.loads((stopped_run / "summary.json").read_text())
    for row in summary["stages"]:
        low, high = row["mean@2_interval"]
        assert f"{100 * row['mean@2']:.1f} ({100 * low:.1f} to {100 * high:.1f})" in seen.text
    assert [row["stage"] for row in summary["stages"]] == ["base", "one"]
    assert (stopped_run / "recipe.toml").read_text().strip() in seen.text  # whole, as it was resolved
    assert "\ntwo\n" not in seen.text.partition("Recipe")[0]  # a later stage is none of this model's past


def test_card_of_an_unfinished_stage(stopped_run: Path, tmp_path: Path) -> None:
    newest = sorted((stopped_run / "checkpoints/two").iterdir())[-1]
    seen = shown(split(model_card(CardFacts("x", model_behind(str(newest)), True, "float32", {}, "c")))[1])
    text = " ".join(seen.text.split())
    assert "in the middle of it (step 3)" in text and "adapter was added" in text
    assert "two sft 3 questions with worked answers" in text


def test_hub_models_are_named_and_folders_are_not(stopped_run: Path, tmp_path: Path) -> None:
    def front_with(path: str) -> list[str]:
        run = edited(stopped_run, tmp_path, lambda recipe: recipe["model"].update(path=path))
        return split(model_card(CardFacts("x", model_behind(str(run)), True, "bfloat16", {}, "c")))[0]

    assert front_with("Qwen/Qwen2.5-VL-7B-Instruct")[0] == 'base_model: "Qwen/Qwen2.5-VL-7B-Instruct"'
    for path in ("/data/model", "world:tiny", "a/b/c", "models/\nevil: true", 'a/b"'):
        assert front_with(path)[0] == "library_name: transformers"


def edited(run: Path, where: Path, edit: Any) -> Path:
    shutil.rmtree(where / "edited", ignore_errors=True)
    shutil.copytree(run, where / "edited")
    recipe = tomllib.loads((where / "edited/recipe.toml").read_text())
    edit(recipe)
    (where / "edited/recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8", errors="replace")
    return where / "edited"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_run(stopped_run: Path, tmp_path: Path, text: str) -> None:
    """In the recipe, in results, in the guard's story, in versions, in the command, in the folder's name."""

    def poison(recipe: dict[str, Any]) -> None:
        recipe.update(name=text, description=text)
        recipe["model"]["path"] = text
        recipe["stages"][0]["data"]["path"] = text

    run = edited(stopped_run, tmp_path, poison)
    summary = json.loads((run / "summary.json").read_text())
    for row in summary["stages"]:
        row.update(set=text, n=text, k=text, rules={text: {f"mean@{text}": 0.5}})
        row.update({f"mean@{text}": text, f"mean@{text}_interval": [text, text], "unreadable": text})
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "run.json").write_text(json.dumps({"seed": text, "versions": {text: text}}))
    (run / "guard").mkdir()
    event = {"step": 1, "action": text, "done": [text], "not_done": [text], "signal": text, "text": text}
    (run / "guard/one.json").write_text(json.dumps({"watched": 3, "anchors": 1, "events": [event]}))
    front, page = split(model_card(CardFacts(text, model_behind(str(run)), True, "bfloat16", {text: text}, text)))
    assert [line.partition(":")[0] for line in front] == ["library_name", "tags", "- mmupt", '- "sft"', "pipeline_tag"]
    seen = shown(page)
    assert set(seen.tags) <= ALLOWED and seen.links == []
    assert seen.tags.count("details") == 1 == seen.tags.count("h1") and seen.tags.count("table") == 2
    assert [t for t in seen.tags if t == "h2"] == ["h2"] * 5


def test_card_without_a_run(tmp_path: Path) -> None:
    card = model_card(CardFacts("x", ModelBehind(tmp_path, 7, False), False, "float16", {"torch": "2"}, "c"))
    front, page = split(card)
    assert front[-1] == "pipeline_tag: text-generation" and "behind step 7" in page and "Recipe" not in page
