"""Groups that real models produced, where the shared data is at hand (it is not part of the repository)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.answers.vote import vote

SHARED = Path(os.environ.get("MMUPT_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RESPONSES = SHARED / "responses"

pytestmark = pytest.mark.skipif(
    not RESPONSES.is_dir(), reason="no shared data: set MMUPT_SHARED_DATA to the folder that holds responses/"
)


def rows(name: str) -> list[dict[str, Any]]:
    text = (RESPONSES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize(
    ("name", "mode", "won", "tied"),
    [("groups_symbolic_conventional_k10.jsonl", "tag:answer", 74, 11), ("groups_gsm8k_code_k8.jsonl", "boxed", 21, 0)],
)
def test_votes_of_real_groups(name: str, mode: str, won: int, tied: int) -> None:
    correct, ties = 0, 0
    for row in rows(name):
        answers = [extract(response, mode).answer for response in row["responses"]]
        verdicts = [grade(a, row["answer"], choices=row["choices"]) for a in answers]
        assert verdicts == [bool(v) for v in row["ref_correct"]]
        result = vote(answers, choices=row["choices"])
        ties += result.tie
        correct += result.winner is not None and grade(result.winner.answer, row["answer"], choices=row["choices"])
    assert (correct, ties) == (won, tied)


def test_the_hand_judged_rows() -> None:
    wrong = []
    for row in rows("tricky.jsonl"):
        answer = extract(row["response"], "lenient").answer
        verdict = grade(answer, row["answer"], choices=row["choices"], unit=row.get("unit"))
        if row["verdict"] is not None and verdict != row["verdict"]:
            wrong.append((row["id"], answer))
    assert not wrong
