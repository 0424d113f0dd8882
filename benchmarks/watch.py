"""How long `mmupt watch` takes to show, filter and search many groups, in a headless Chromium.

    python benchmarks/watch.py                        # 10,000 groups, about half a minute
    python benchmarks/watch.py --groups 50000 --json

A run folder is made up in a temporary place: groups of 16 responses of a few hundred characters, 48 groups a step. The
server runs in a process of its own and has not read the folder before the page asks. Milliseconds are the browser's,
from the beginning of the navigation: `first paint`; `first rows`, when groups stand in the list; `all rows`, when every
group does. `filter` and `search` are medians over several, from the input to the list drawn anew; a search asks the
server, which looks through every response.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mmupt.answers.vote import vote
from mmupt.runtime.groups import SCHEMA
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.parquet import write_table

PER_STEP, SIZE = 48, 16
WORDS = ["picture", "shows", "four", "dice", "each", "of", "them", "has", "dots", "so", "we", "add", "all", "to", "get"]
RECIPE = 'name = "many"\n[[stages]]\nkind = "upt"\nname = "upt"\nsteps = {steps}\n'


def make_run(folder: Path, groups: int, seed: int = 0) -> None:
    """A run of `groups` groups, each prompt visited about three times."""
    rng, layout = random.Random(seed), RunLayout(folder)
    steps = -(-groups // PER_STEP)
    layout.recipe.write_text(RECIPE.format(steps=steps))
    layout.run.write_text("{}")
    with MetricsLog(layout.metrics) as log:
        for step in range(1, steps + 1):
            count = min(PER_STEP, groups - (step - 1) * PER_STEP)
            rows = [_row(rng, rng.randrange(groups // 3 + 1), step) for _ in range(count)]
            write_table(layout.groups("upt", step), rows, SCHEMA)
            share = sum(row["share"] for row in rows) / count
            log.append({"stage": "upt", "kind": "upt", "step": step, "share": share, "reward": share, "seconds": 1.0})


def _row(rng: random.Random, prompt: int, step: int) -> dict[str, Any]:
    right = rng.randrange(4, 24)
    drawn = [right if rng.random() < 0.6 else rng.randrange(4, 24) for _ in range(SIZE)]
    answers = [None if rng.random() < 0.05 else str(answer) for answer in drawn]
    voted = vote(answers)
    won = voted.winner.members if voted.winner else ()
    return {
        "prompt_id": f"prompt-{prompt:06d}", "visit": 0, "role": "answer", "policy_version": step,
        "question": f"<image>Question {prompt}: {' '.join(rng.choices(WORDS, k=12))}?", "choices": None, "images": [],
        "responses": [f"{' '.join(rng.choices(WORDS, k=60))} \\boxed{{{answer}}}" for answer in answers],
        "answers": answers, "stops": ["end"] * SIZE, "num_tokens": [80] * SIZE,
        "rewards": [float(i in won) for i in range(SIZE)], "advantages": [float(i in won) - 0.5 for i in range(SIZE)],
        "clusters": [{"answer": c.answer, "members": list(c.members)} for c in voted.clusters],
        "majority": voted.winner.answer if voted.winner else None, "share": voted.share, "tie": voted.tie,
    }  # fmt: skip


def measure(run: Path, groups: int, chromium: str) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "mmupt.cli", "watch", str(run), "--no-open", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            address = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1300, "height": 800})
                page.goto(f"{address}#groups")
                found = _load(page, groups) | _use(page)
                browser.close()
        finally:
            server.terminate()
    return found


def _load(page: Any, groups: int) -> dict[str, float]:
    shown = f"{groups:,} of {groups:,} groups"
    while page.evaluate("document.getElementById('shown').textContent") != shown:
        time.sleep(0.05)
    everything = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    rows = page.evaluate("performance.getEntriesByName('mmupt-first-list')[0].startTime")
    return {"first paint": paint, "first rows": rows, "all rows": everything}


def _use(page: Any) -> dict[str, float]:
    last = "performance.getEntriesByName('{}').at(-1)?.duration ?? 0"
    filters = []
    for selector, value in (("#f-share-min", "60"), ("#f-share-max", "80"), ("#f-flipped", "yes"), ("#f-read", "some"),
                            ("#f-sort", "share-up"), ("#f-flipped", ""), ("#f-sort", "changed")):  # fmt: skip
        if selector in ("#f-flipped", "#f-read", "#f-sort"):
            page.select_option(selector, value)
        else:
            page.fill(selector, value)
        filters.append(page.evaluate(last.format("mmupt-filter")))
    page.click("#f-clear")
    searches = []
    for query in ("\\boxed{12}", "dice dots picture", "question 7", "nowhere to be found", "prompt-0001"):
        before = page.evaluate("performance.getEntriesByName('mmupt-search').length")
        page.fill("#f-q", query)
        while page.evaluate("performance.getEntriesByName('mmupt-search').length") == before:
            time.sleep(0.02)
        searches.append(page.evaluate(last.format("mmupt-search")))
    return {
        "filter": statistics.median(filters), "slowest filter": max(filters),
        "search": statistics.median(searches), "slowest search": max(searches),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.chromium is None:
        sys.exit("no browser: name one with --chromium")
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder), arguments.groups)
        found = measure(Path(folder), arguments.groups, arguments.chromium)
    if arguments.json:
        print(json.dumps({"groups": arguments.groups, "milliseconds": found}))
        return
    print(f"{arguments.groups:,} groups, milliseconds")
    for name, value in found.items():
        print(f"  {name:<16}{value:>9.1f}")


if __name__ == "__main__":
    main()
