"""The page in a real browser: what it shows, what it does with hostile text, filters, keys, themes, news."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from mmupt.answers.equivalence import same
from mmupt.runtime.files import write_json
from mmupt.watch import WatchServer

Open = Callable[..., Any]

ATTACKS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked=1'><svg onload=window.hacked=1>",
    "</div></body><iframe src=/></iframe>",
    "javascript:window.hacked=1",
    "**bold** _it_ [link](http://evil) `code` # head",
    "$\\frac{1}{2}$ \\href{javascript:window.hacked=1}{x} \\boxed{<b>7</b>}",
    "left \u202eright\u202c \u2066isolate\u2069 zero\u200bwidth",
    "\x00\x07\x1b[31m\x9b",
    "מה הסכום? 7 + 5",
    "{{7*7}} ${7*7} &lt;b&gt; &#x3c;",
]


UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u206f]")


@pytest.fixture
def open_page(chromium: Any, serve: Callable[[Path], WatchServer]) -> Iterator[Open]:
    """Opens a run at an address of its page; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def _open(run: Any, address: str = "", **options: Any) -> Any:
        server = serve(run) if isinstance(run, Path) else run
        contexts.append(chromium.new_context(viewport={"width": 1300, "height": 800}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(server.url + address)
        return page

    _open.complaints = complaints  # type: ignore[attr-defined]
    yield _open
    for context in contexts:
        context.close()
    assert not complaints


def until(page: Any, expression: str) -> None:
    """Waits until an expression is true. (The page's policy forbids playwright's own way, which calls `eval` in it.)"""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def random_rows(made: SimpleNamespace, rng: random.Random, step: int, count: int) -> list[dict[str, Any]]:
    rows = []
    for _ in range(count):
        answers = [rng.choice(["1", "2", "0.5", "1/2", None]) for _ in range(rng.choice([4, 8]))]
        if rng.random() < 0.1:
            answers = [None] * 4
        role = rng.choice(["answer", "answer", "answer", "view"])
        rows.append(made.row(f"p{rng.randrange(40)}", answers, visit=step, role=role))
    return rows


def png(colour: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30), colour).save(buffer, "PNG")
    return {"path": None, "bytes": buffer.getvalue()}


def names(page: Any) -> list[str]:
    """The rows in sight, from top to bottom."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('.item')].sort((a, b) => a.offsetTop - b.offsetTop).map((e) => e.dataset.name)"
    )
    return found


def test_a_group_in_full(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    images = [png("red"), {"path": "gone/9.png", "bytes": None}]
    made.step(layout, "upt", 1, [made.row("die", ["4", "4", "4", "3", None], images=images, choices=["3", "4"])])
    page = open_page(tmp_path, "#groups?open=upt/1/0")
    page.wait_for_selector(".response")
    assert page.locator(".asked").inner_text() == "What is die?"
    assert page.locator(".choices li").all_inner_texts() == ["3", "4"]
    assert page.locator(".verdict").inner_text() == "60 % agree on B"
    assert page.locator(".ballots .badge").all_inner_texts() == ["1", "2", "–"]
    assert page.locator(".response .badge").all_inner_texts() == ["1", "1", "1", "2", "–"]
    assert page.locator("mark").all_inner_texts() == [f"\\boxed{{{a}}}" for a in "4443"]
    assert "reward 1" in page.locator(".response").first.inner_text()
    until(page, "document.querySelector('.pictures img').naturalWidth === 30")
    page.wait_for_selector(".pictures .none")
    assert "gone/9.png does not exist" in page.locator(".pictures .none").inner_text()
    open_page.complaints.clear()  # type: ignore[attr-defined] - the browser names the picture that is not there


def test_hostile_text_is_text(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    nasty = " ".join(ATTACKS)
    layout = made.begin(tmp_path, {"name": nasty, "stages": [{"name": nasty, "set": nasty, "n": nasty, "k": 8}]})
    huge = "<b>" + "x\u202e" * 500_000
    rows = [
        made.row(
            attack, [attack, attack, None], question=attack, responses=[attack] * 3, choices=[attack, "b"], role=attack
        )
        for attack in ATTACKS
    ]
    rows.append(made.row("huge", ["1"], question=huge, responses=[huge]))
    made.step(layout, "upt", 1, rows)
    event = {"step": 1, "action": "warn", "signal": nasty, "text": nasty, "value": 1, "start": 1, "bound": 1}
    write_json(layout.guard("upt"), {"events": [event], "start": {nasty: 1}, "measurements": [{"step": 1, nasty: 2}]})
    server_page = open_page(tmp_path, "#groups?sort=old")
    server_page.wait_for_selector(".item")
    for index, attack in enumerate(ATTACKS):
        server_page.evaluate(f"location.hash = '#groups?sort=old&open=upt/1/{index}'")
        until(server_page, f"document.querySelector('.item.selected').dataset.name === 'upt/1/{index}'")
        expected = "".join(f"U+{ord(c):04X}" if UNSEEN.match(c) else c for c in attack)
        until(server_page, f"document.querySelector('.response .text')?.textContent === {json.dumps(expected)}")
        assert server_page.locator(".response .text").all_text_contents() == [expected] * 3
        assert server_page.locator("#group :is(script, iframe, svg, a, img, b b, font)").count() == 0
    server_page.evaluate("location.hash = '#groups?sort=old&open=upt/1/10'")
    more = server_page.locator(".response .more")
    more.wait_for()
    assert "980,003 more characters" in more.inner_text()
    assert len(server_page.locator(".response .text").text_content()) < 21_000
    more.click()
    until(server_page, "document.querySelector('.response .text').textContent.length > 900000")
    server_page.keyboard.press("1")
    server_page.wait_for_selector(".events td")
    assert "<script>window.hacked = 1</script>" in server_page.locator(".events").text_content()
    counts = "[window.hacked, document.scripts.length, document.querySelectorAll('iframe').length]"
    assert server_page.evaluate(counts) == [None, 1, 0]
    assert server_page.evaluate("getComputedStyle(document.querySelector('.events b')).unicodeBidi") == "isolate"


def test_filters_choose_what_a_slow_reference_chooses(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    rng, layout, rows = random.Random(0), made.begin(tmp_path), []
    for stage, step in (("rl", 1), ("rl", 2), *(("upt", step) for step in range(1, 8))):
        made_rows = random_rows(made, rng, step, 30)
        made.step(layout, stage, step, made_rows)
        rows += [(stage, step, i, row) for i, row in enumerate(made_rows)]
    filters = [random_filter(rng) for _ in range(150)]
    page = open_page(tmp_path, "#groups")
    found = page.evaluate(
        """async (filters) => {
            const { Groups, EVERYTHING } = await import("/static/store.js");
            const groups = new Groups();
            groups.arrange(["rl", "upt"]);
            groups.take(await (await fetch("/api/groups")).json(), true);
            return filters.map((f) => groups.select({ ...EVERYTHING, ...f }, null).map((row) => row.name));
        }""",
        filters,
    )
    flips = slow_flips(rows)
    chosen_once = set()
    for chosen, names_found in zip(filters, found, strict=True):
        slow = [r for r in rows if slow_passes(r, chosen, flips)]
        slow.sort(key=lambda r: slow_order(r, chosen["sort"]))
        assert names_found == [f"{stage}/{step}/{i}" for stage, step, i, _ in slow], chosen
        chosen_once |= set(names_found)
    assert len(chosen_once) == len(rows) and any(flips.values()) and not all(map(len, found))


def random_filter(rng: random.Random) -> dict[str, str]:
    choices = {
        "stage": ["", "", "rl", "upt"], "role": ["", "", "answer", "view"], "stepMin": ["", "", "2", "5"],
        "stepMax": ["", "", "2", "6"], "shareMin": ["", "", "25", "50"], "shareMax": ["", "", "50", "75.5"],
        "flipped": ["", "", "yes", "no"], "read": ["", "", "all", "some", "none"],
        "sort": ["new", "old", "share-up", "share-down", "reward-up", "reward-down", "unread"],
    }  # fmt: skip
    return {name: rng.choice(values) for name, values in choices.items()}


def slow_flips(rows: list[Any]) -> dict[tuple[str, int, int], bool | None]:
    """For each group, by comparing it with every earlier visit of its prompt; the last with a majority counts."""
    found: dict[tuple[str, int, int], bool | None] = {}
    for stage, step, i, row in rows:
        before = [
            other["majority"]
            for s, t, j, other in rows
            if (s, other["prompt_id"]) == (stage, row["prompt_id"]) and (t, j) < (step, i)
            and other["role"] == "answer" and other["majority"] is not None
        ]  # fmt: skip
        compared = row["role"] == "answer" and row["majority"] is not None and before
        found[stage, step, i] = not same(before[-1], row["majority"]) if compared else None
    return found


def slow_passes(entry: Any, chosen: dict[str, str], flips: dict[tuple[str, int, int], bool | None]) -> bool:
    stage, step, i, row = entry
    unread = row["answers"].count(None)
    return all(
        [
            chosen["stage"] in ("", stage),
            chosen["role"] in ("", row["role"]),
            not chosen["stepMin"] or step >= int(chosen["stepMin"]),
            not chosen["stepMax"] or step <= int(chosen["stepMax"]),
            not chosen["shareMin"] or round(100 * row["share"], 2) >= float(chosen["shareMin"]),
            not chosen["shareMax"] or round(100 * row["share"], 2) <= float(chosen["shareMax"]),
            not chosen["flipped"] or flips[stage, step, i] is (chosen["flipped"] == "yes"),
            {"": True, "all": unread == 0, "some": unread > 0, "none": unread == len(row["answers"])}[chosen["read"]],
        ]
    )


def slow_order(entry: Any, sort: str) -> tuple[Any, ...]:
    stage, step, i, row = entry
    place = ["rl", "upt"].index(stage)
    newest = (-place, -step, i)
    share, reward = round(row["share"], 4), round(sum(row["rewards"]) / len(row["rewards"]), 4)
    return {
        "new": newest, "old": (place, step, i), "share-up": (share, newest), "share-down": (-share, newest),
        "reward-up": (reward, newest), "reward-down": (-reward, newest),
        "unread": (-row["answers"].count(None) / len(row["answers"]), newest),
    }[sort]  # fmt: skip


def test_filters_by_hand_and_in_the_address(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    rows = [made.row(f"p{i}", ["1"] * (i + 1) + ["2"] * (9 - i), question=f"Question {i}") for i in range(10)]
    made.step(layout, "upt", 1, rows)
    page = open_page(tmp_path, "#groups")
    page.wait_for_selector(".item")
    page.fill("#f-share-min", "90")
    until(page, "document.getElementById('shown').textContent === '3 of 10 groups'")
    assert sorted(names(page)) == ["upt/1/0", "upt/1/8", "upt/1/9"]
    assert "shareMin=90" in page.url
    page.fill("#f-q", "QUESTION 8")
    until(page, "document.getElementById('shown').textContent === '1 of 10 groups'")
    here, _, shown = page.url.partition("#")
    other = open_page(SimpleNamespace(url=here), f"#{shown}")
    until(other, "document.getElementById('shown').textContent === '1 of 10 groups'")
    assert names(other) == ["upt/1/8"] and other.input_value("#f-q") == "QUESTION 8"
    page.click("#f-clear")
    until(page, "document.getElementById('shown').textContent === '10 of 10 groups'")
    assert page.url.endswith("#groups")


def test_keys(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    for step in (1, 2, 3):
        made.step(layout, "upt", step, [made.row(f"p{i}", [str(step), str(step), "9"], visit=step) for i in range(20)])
    page = open_page(tmp_path)

    def selected(name: str) -> None:
        until(page, f"document.querySelector('.item.selected')?.dataset.name === '{name}'")
        assert f"open={name.replace('/', '%2F')}" in page.url

    page.wait_for_selector(".stage")
    page.keyboard.press("2")
    page.wait_for_selector(".item")
    for key, name in (("j", "upt/3/0"), ("j", "upt/3/1"), ("ArrowDown", "upt/3/2"), ("k", "upt/3/1"),
                      ("ArrowUp", "upt/3/0"), ("G", "upt/1/19"), ("g", "upt/3/0"), ("PageDown", "upt/3/10"),
                      ("PageUp", "upt/3/0"),
                      ("ArrowLeft", "upt/2/0"), ("ArrowLeft", "upt/1/0"), ("ArrowRight", "upt/2/0")):  # fmt: skip
        page.keyboard.press(key)
        selected(name)
    page.keyboard.press("b")
    until(page, "document.querySelectorAll('.pair article').length === 2")
    texts = page.locator(".pair article .verdict").all_inner_texts()
    assert texts == ["67 % agree on 1", "67 % agree on 3 flipped since the visit before"]
    # An answer has the same number on both sides: 1 and 9 before, 3 is new, 9 is the second again.
    assert page.locator(".pair article .ballots .badge").all_inner_texts() == ["1", "2", "3", "2"]
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.input_value("#f-q") == "jk"
    until(page, "document.getElementById('shown').textContent === '0 of 60 groups'")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    until(page, "document.getElementById('shown').textContent === '60 of 60 groups'")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    assert page.locator("#run").is_visible() and not page.locator("#groups").is_visible()


def test_a_step_more_appears_and_nothing_jumps(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    for step in (1, 2):
        made.step(layout, "upt", step, [made.row(f"p{i}", ["1", "2", "2"]) for i in range(40)])
    page = open_page(tmp_path)
    until(page, "document.querySelector('.stage:last-child')?.textContent.includes('step 2 of 9')")
    assert page.locator(".chart").count() >= 2
    page.keyboard.press("2")
    page.wait_for_selector(".item")
    page.click(".item >> nth=5")
    page.evaluate("document.getElementById('rows').scrollTop = 1000")
    until(page, "document.querySelectorAll('.item').length > 10")
    at_top = """(() => {
        const top = document.getElementById("rows").getBoundingClientRect().top;
        const seen = [...document.querySelectorAll(".item")].filter((e) => e.getBoundingClientRect().bottom > top + 1);
        return seen.sort((a, b) => a.offsetTop - b.offsetTop)[0]?.dataset.name;
    })()"""
    until(page, at_top)  # the list is drawn anew a moment after it was scrolled
    before = page.evaluate(at_top)
    made.step(layout, "upt", 3, [made.row(f"p{i}", ["2", "2", "2"]) for i in range(40)])
    until(page, "document.getElementById('shown').textContent === '120 of 120 groups'")
    until(page, f"{at_top} === {json.dumps(before)}")
    page.keyboard.press("1")
    until(page, "document.querySelector('.stage:last-child').textContent.includes('step 3 of 9')")


def test_a_resumed_run_replaces_what_it_takes_back(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    for step in (1, 2, 3):
        made.step(layout, "upt", step, [made.row("old", ["1"])])
    page = open_page(tmp_path, "#groups")
    until(page, "document.getElementById('shown').textContent === '3 of 3 groups'")
    layout.groups("upt", 3).unlink()
    made.step(layout, "upt", 2, [made.row("new", ["1"]), made.row("newer", ["1"])])
    until(page, "document.querySelector('.item .question').textContent.includes('new')")
    assert page.locator(".item .question").all_inner_texts() == ["What is new?", "What is newer?", "What is old?"]


def test_light_and_dark(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    made.begin(tmp_path)
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(246, 247, 249)", "rgb(15, 20, 27)"
    for scheme, theirs in (("light", light), ("dark", dark)):
        page = open_page(tmp_path, color_scheme=scheme)
        assert page.evaluate(colour) == theirs
        page.keyboard.press("t")
        assert page.evaluate(colour) == light
        page.click("#theme")
        assert page.evaluate(colour) == dark
        page.reload()
        assert page.evaluate(colour) == dark
        page.keyboard.press("t")
        assert page.evaluate(colour) == theirs


def test_only_what_is_in_sight_is_in_the_page(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    layout = made.begin(tmp_path)
    made.step(layout, "upt", 1, [made.row(f"p{i}", ["1"]) for i in range(3000)])
    page = open_page(tmp_path, "#groups")
    until(page, "document.getElementById('shown').textContent === '3,000 of 3,000 groups'")
    assert 10 < page.locator(".item").count() < 40
    page.evaluate("document.getElementById('rows').scrollTop = 1500 * 50")
    page.wait_for_selector(".item[data-name='upt/1/1500']")
    assert 10 < page.locator(".item").count() < 40


def test_a_server_that_is_gone_is_said(tmp_path: Path, made: SimpleNamespace, open_page: Open) -> None:
    made.begin(tmp_path)
    page = open_page(tmp_path)
    page.wait_for_selector(".stage")
    page.route("**/api/**", lambda route: route.abort())
    page.wait_for_selector("#notice:not([hidden])")
    page.unroute("**/api/**")
    page.wait_for_selector("#notice", state="hidden")
    open_page.complaints.clear()  # type: ignore[attr-defined] - of the connection
