"""The report: complete, harmless whatever the model wrote, and there whatever is missing."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mmupt.errors import RunFolderError
from mmupt.report.report import write_report
from mmupt.runtime.files import write_json
from mmupt.runtime.metrics import MetricsLog
from mmupt.types import ImageSource, Prompt

TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title style body main header section footer article h1 h2 h3 p b i u s div span small bdi dl "
        "dt dd ul ol li table thead tbody tr th td figure figcaption details summary pre img svg g path text defs use "
        "clippath rect",
    )
)
ATTACKS = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7*7 }}{% raw %}",
    "</pre></details></main>",
    "\u202e}321{dexob\\",
    "\ud800 lone",
    "😀\x00\x1b[31m\x07",
    "&lt;b&gt;",
    "'--><!--",
)


class Page(HTMLParser):
    """What a browser would make of the page: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def read(run: Path) -> tuple[str, Page]:
    html = write_report(run).read_bytes().decode("utf-8")
    return html, Page(html)


def assert_harmless(page: Page) -> None:
    assert set(page.tags) <= TAGS
    assert page.tags.count("style") == page.tags.count("main") == page.tags.count("title") == 1
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, value[:80])


def test_a_whole_run(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice")
    html, page = read(run.root)
    assert_harmless(page)
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")  # nothing is fetched
    for expected in (
        "dice",
        "12 min 32 s",
        "77.0",
        "+9.0",
        "72.2 – 81.8",
        "No warning signs",
        "majority share",
        "Step 60",
    ):
        assert expected in page.text, expected
    assert "Missing from this report" not in page.text
    assert page.tags.count("svg") == 2 + 12 + 12
    assert "max_new_tokens = 64" in page.text  # the recipe
    assert sorted(p.name for p in run.root.iterdir() if p.name.startswith(".")) == []


def test_pictures_are_thumbnails_made_anew(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice")
    buffer = io.BytesIO()
    Image.new("RGB", (900, 300), "red").save(buffer, "JPEG", comment=b"<script>")
    (tmp_path / "by path.png").write_bytes(buffer.getvalue())
    images = (
        ImageSource(data=buffer.getvalue()), ImageSource(str(tmp_path / "by path.png")), ImageSource("gone.png"),
        ImageSource(data=b"GIF89a, not"), ImageSource("/dev/zero"), ImageSource("x\x00y"),
    )  # fmt: skip
    fake.keep(run, "upt", 60, [fake.group(Prompt("p", "q", images), ["a"] * 4, ["1"] * 4)])
    _, page = read(run.root)
    uris = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")][-2:]
    for uri in uris:
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert (image.format, image.size) == ("PNG", (256, 85))
            assert not image.info
    for note in ("gone.png does not exist", "not a picture that can be read", "/dev/zero is not a file"):
        assert note in page.text


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_is_only_text(tmp_path: Path, fake: SimpleNamespace, attack: str) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    images = (ImageSource(attack.replace("\x00", "")),)
    prompt = Prompt(attack, f"<image>{attack}", images, (attack, "B"))
    fake.keep(run, "upt", 3, [fake.group(prompt, [attack] * 4, [attack, None, attack, "3"])])
    summary = json.loads(run.summary.read_text())
    summary["name"] = summary["stages"][0]["name"] = summary["stages"][0]["k"] = attack
    write_json(run.summary, summary)
    write_json(run.run, {"seed": attack, "versions": {attack: attack}, "created": attack, "platform": [attack]})
    run.recipe.write_text(f"# {attack}\n", encoding="utf-8", errors="replace")
    with MetricsLog(run.metrics) as log:
        log.append({"stage": attack, "kind": attack, "step": attack, "loss": attack})
    html, page = read(run.root)
    assert_harmless(page)
    assert not re.search("[\x00-\x08\x0b-\x1f]", html)
    shown = re.sub("[\x00-\x08\x0b-\x1f\ud800]", "�", attack)
    assert page.text.count(shown) >= 8


def test_huge_text_is_cut(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    plain = len(read(run.root)[0])
    huge = "<&\u202e😀" * 500_000
    fake.keep(run, "upt", 3, [fake.group(Prompt(huge, huge, choices=(huge,)), [huge] * 4, [huge] * 4)])
    html, page = read(run.root)
    assert_harmless(page)
    assert len(html) < plain + 300_000
    assert "(1,996,000 more characters)" in page.text


@pytest.mark.parametrize("name", ["summary.json", "run.json", "recipe.toml", "metrics.jsonl"])
@pytest.mark.parametrize(
    "damage", [None, b"", b"\xff\xfe", b"[1]\n", b'{"stages": 3, "versions": [], "name": {}}\n', b"[[\n"]
)
def test_a_missing_or_damaged_piece_is_named_and_nothing_else_suffers(
    tmp_path: Path, fake: SimpleNamespace, name: str, damage: bytes | None
) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    if damage is None:
        (run.root / name).unlink()
    else:
        (run.root / name).write_bytes(damage)
    _, page = read(run.root)
    assert_harmless(page)
    told = damage is None or damage in (b"", b"[[\n")
    if told and not (name == "recipe.toml" and damage == b""):
        assert name in page.text
    assert name == "metrics.jsonl" or "majority share" in page.text
    assert name == "summary.json" or "68.0" in page.text


def test_damaged_groups_are_named(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    run.groups("upt", 3).write_bytes(b"PAR1")
    run.eval_parquet("rl").write_bytes(b"PAR1")
    _, page = read(run.root)
    assert page.text.count("000003.parquet: not a readable") == 1
    assert "rl.parquet: not a readable" in page.text
    assert "majority share" in page.text


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    _, page = read(tmp_path)
    assert "summary.json is missing" in page.text
    with pytest.raises(RunFolderError, match="no run folder"):
        write_report(tmp_path / "missing")


def test_a_run_that_stopped_says_how_far_it_came(tmp_path: Path, fake: SimpleNamespace) -> None:
    _, page = read(fake.make_run(tmp_path / "dice", upt_steps=12).root)
    assert "The run is not finished" in page.text
    assert "upt: 12 of 60 steps" in page.text
