"""Run folders for the page, made up row by row, and a headless Chromium where this machine has one."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmupt.answers.vote import vote
from mmupt.runtime.files import write_json, write_text
from mmupt.runtime.groups import SCHEMA
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.parquet import write_table
from mmupt.watch import WatchServer

RECIPE = """name = "dice"
description = "made up"

[[stages]]
kind = "rl"
name = "rl"
steps = 2

[[stages]]
kind = "upt"
name = "upt"
steps = 9

[stages.answers]
extract = "boxed"
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def row(prompt: str, answers: Sequence[str | None], visit: int = 0, **other: Any) -> dict[str, Any]:
    """A row of a file of groups, voted on as training would; `other` replaces columns."""
    voted = vote(answers, choices=other.get("choices"))
    won = voted.winner.members if voted.winner else ()
    return {
        "prompt_id": prompt, "visit": visit, "role": "answer", "policy_version": 0,
        "question": f"<image>What is {prompt}?", "choices": None, "images": [],
        "responses": [f"I count, so \\boxed{{{a}}}." if a is not None else "I cannot say." for a in answers],
        "answers": list(answers), "stops": ["end"] * len(answers), "num_tokens": [7] * len(answers),
        "rewards": [float(i in won) for i in range(len(answers))],
        "advantages": [0.5 - (i in won) for i in range(len(answers))],
        "clusters": [{"answer": c.answer, "members": list(c.members)} for c in voted.clusters],
        "majority": voted.winner.answer if voted.winner else None, "share": voted.share, "tie": voted.tie,
    } | other  # fmt: skip


def step(layout: RunLayout, stage: str, number: int, rows: Sequence[dict[str, Any]], **metrics: float) -> None:
    """Groups and metrics of one more step."""
    write_table(layout.groups(stage, number), list(rows), SCHEMA)
    fields = {"reward": 0.5, "share": 0.6, "seconds": 1.0, "tokens": 100, "tokens_per_second": 100.0} | metrics
    with MetricsLog(layout.metrics) as log:
        log.append({"stage": stage, "kind": stage, "step": number, **fields})


def begin(folder: Path, summary: Mapping[str, Any] | None = None) -> RunLayout:
    """A run that has not taken a step."""
    layout = RunLayout(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(layout.recipe, RECIPE)
    write_json(layout.run, {"seed": 3, "versions": {"mmupt": "0"}, "created": "2026-01-01T00:00:00+00:00"})
    if summary is not None:
        write_json(layout.summary, dict(summary))
    return layout


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What tests make runs of: `row`, `step`, `begin`."""
    return SimpleNamespace(row=row, step=step, begin=begin)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], WatchServer]]:
    """Serves a run folder until the test ends."""
    servers: list[WatchServer] = []

    def _serve(folder: Path) -> WatchServer:
        server = WatchServer(folder)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server

    yield _serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser, driven by playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])"
    )
    path = os.environ.get("MMUPT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path (or name one in MMUPT_CHROMIUM)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
