"""The page: every candidate with its verdict, and hostile text that stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mmupt.synth import page
from mmupt.synth.report import SynthReport
from mmupt.synth.settings import SynthStage
from mmupt.types import ImageSource, Prompt

Make = Callable[..., SynthStage]
Run = Callable[..., SynthReport]
HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202e\x00\ud800 How many?"


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def shown(run: Run, stage: SynthStage, prompts: list[Prompt], engine: Any, tmp_path: Path) -> str:
    run(stage, prompts, engine)
    return (tmp_path / "out/page.html").read_text(encoding="utf-8")


def test_every_candidate_and_its_verdict(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    turn = iter(["Question: Largest die?", "I see dice.", "Add all dice!"] * 5)
    engine = scripted(lambda text, pictured, seed: next(turn) if text == "Ask!" else rf"\boxed{{{seed % 3}}}")
    html = shown(
        run, make_stage(candidates=3, filters={"reference": "off", "share": [0, 1]}), prompts, engine, tmp_path
    )
    assert html.count('<li class="candidate') == 15
    for said in ("unparsable", "duplicate of original", "it asks nothing", "Add all dice.", "What the model was asked"):
        assert said in html, said
    assert html.count(">kept</span>") >= 2, "in the table and at the picture"
    assert "Question: Largest die?" in html and "the whole response" in html
    tags = Tags(html).found
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 5 and all(
        (p["src"] or "").startswith("data:image/png;base64,") and p["alt"] for p in pictures
    )
    assert not any(tag == "script" or any(name.startswith("on") for name in attributes) for tag, attributes in tags)
    outside = [a for _, attributes in tags for n, a in attributes.items() if n in ("src", "href") and a]
    assert all(address.startswith(("data:", "#")) for address in outside), "it needs nothing but itself"
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(set(ids)) == len(ids) and all(address[1:] in ids for address in outside if address.startswith("#"))


def test_it_works_with_the_keyboard_and_in_the_dark(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    engine = scripted(lambda text, pictured, seed: "Largest die?" if text == "Ask!" else rf"\boxed{{{seed % 3}}}")
    html = shown(run, make_stage(filters={"reference": "off", "share": [0, 1]}), prompts, engine, tmp_path)
    radios = [a for tag, a in Tags(html).found if tag == "input"]
    assert [radio["type"] for radio in radios] == ["radio"] * 3 and len({radio["name"] for radio in radios}) == 1
    assert all(f"#{radio['id']}:checked" in html for radio in radios[1:]), "the style sheet follows them"
    assert "prefers-color-scheme: dark" in html and ":focus-visible" in html
    assert all("tabindex" not in attributes for _, attributes in Tags(html).found)


def test_hostile_text_stays_text(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    engine = scripted(lambda text, pictured, seed: HOSTILE if text == "Ask <b>!" else rf"\boxed{{<i>{seed % 2}</i>}}")
    stage = make_stage(templates={"direct": "Ask <b>!"}, filters={"reference": "off", "share": [0, 1], "quorum": 0.0})
    nasty = [Prompt(f'"><script>{p.id}', "<image><script>original</script>?", p.images) for p in prompts]
    run(stage, nasty, engine, model="<script>model</script>")
    html = (tmp_path / "out/page.html").read_text(encoding="utf-8")
    assert "script" not in {tag for tag, _ in Tags(html).found} and "<i>0</i>" not in html
    assert "&lt;script&gt;alert(1)" in html and "{{ 7 * 7 }}" in html and "\x00" not in html
    assert all(
        attributes.get("src", "data:").startswith("data:") for tag, attributes in Tags(html).found if tag == "img"
    )  # type: ignore[union-attr]


def test_a_sample_of_many_pictures(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SHOWN", 2)
    engine = scripted(lambda text, pictured, seed: "Largest die?" if text == "Ask!" else rf"\boxed{{{seed % 3}}}")
    html = shown(run, make_stage(filters={"reference": "off", "share": [0, 1]}), prompts, engine, tmp_path)
    assert re.findall(r'<h3 id="t\d"><bdi>(p\d)</bdi>', html) == ["p0", "p2"] and "2 of 5, at equal distances" in html


def test_a_picture_that_is_gone(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    """The page is made from the candidates' file, which holds paths of pictures that have some."""
    file = tmp_path / "p.png"
    file.write_bytes(prompts[0].images[0].data or b"")
    engine = scripted(lambda text, pictured, seed: "Largest die?" if text == "Ask!" else rf"\boxed{{{seed % 3}}}")
    stage = make_stage(filters={"reference": "off", "share": [0, 1]})
    report = run(stage, [Prompt("p1", "<image>", (ImageSource(path=str(file)),))], engine)
    file.unlink()
    page.write_page(tmp_path / "out/candidates.parquet", report, tmp_path / "again.html")
    assert "does not exist" in (tmp_path / "again.html").read_text()
