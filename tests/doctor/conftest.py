"""A small recipe with files of its own, whose rows a test spoils."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image, ImageDraw

from mmupt.doctor.case import Case, open_case
from mmupt.doctor.finding import Finding
from mmupt.recipe import load_recipe

Rows = list[dict[str, Any]]


def drawing(seed: int, size: int = 128) -> Image.Image:
    """A few shapes on white paper."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, w, h = (int(v) for v in rng.integers(0, size - 30, 4))
        colour = tuple(int(v) for v in rng.integers(0, 200, 3))
        (draw.rectangle if rng.random() < 0.5 else draw.ellipse)([x, y, x + 8 + w // 3, y + 8 + h // 3], fill=colour)
    return image


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """`make_case(train, test, kind="rl", **recipe)`: `train` and `test` change the rows of two files of six each."""

    def rows(name: str, first: int, spoil: Callable[[Rows], None] | None) -> Path:
        found: Rows = []
        for k in range(6):
            drawing(first + k).save(tmp_path / f"{name}-{k}.png")
            found.append({
                "id": f"{name}-{k}", "question": f"<image>How many shapes of kind {k}?", "images": [f"{name}-{k}.png"],
                "answer": str(k),
            })  # fmt: skip
        if spoil is not None:
            spoil(found)
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(json.dumps(row) for row in found))
        return file

    def _make(
        train: Callable[[Rows], None] | None = None,
        test: Callable[[Rows], None] | None = None,
        kind: str = "rl",
        **changes: Any,
    ) -> Case:
        stage = {"kind": kind, "name": "learn", "steps": 1, "prompts_per_step": 4, "updates_per_step": 1}
        table: dict[str, Any] = {
            "name": "examined",
            "run_dir": str(tmp_path / "run"),
            "model": {"path": "world:tiny"},
            "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 50_176},
            "data": {"path": str(rows("train", 0, train))},
            "evaluation": {"data": {"path": str(rows("test", 100, test))}},
            "stages": [stage],
        }
        for key, value in changes.items():
            table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
        path = tmp_path / "examined.toml"
        path.write_text(tomli_w.dumps(table))
        return open_case(load_recipe(str(path)))

    return _make


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]
