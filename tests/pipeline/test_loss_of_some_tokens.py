"""A recipe that takes the answer out of the loss and holds few tokens to the reference, from file to metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe


def test_answer_mask_and_covariance_kl(micro: Callable[..., Path]) -> None:
    def edit(table: dict[str, Any]) -> None:
        del table["evaluation"]
        upt = table["stages"][2]
        algo = {"mask_answer": True, "kl_tokens": "covariance", "kl_coef": 0.1}
        upt.update(steps=2, updates_per_step=2, algo=algo, guard={"enabled": False})
        table["stages"] = [upt]

    root = run_recipe(load_recipe(str(micro(edit))))
    records = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 2
    assert all(0 < record["masked"] < 1 for record in records), "answers are most of what so small a model says"
    assert records[-1]["kl"] > 0
