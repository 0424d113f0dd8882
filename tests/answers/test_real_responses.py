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


def verdict(row: dict[str, Any]) -> bool:
    answer = extract(row["response"], "lenient", choices=row["choices"]).answer
    precision = row.get("precision")
    return grade(
        answer,
        row["answer"],
        choices=row["choices"],
        unit=row.get("unit"),
        precision=None if precision is None else int(precision),
    )


def test_mathvision_agrees_with_two_graders() -> None:
    """Where two graders agree, so do we; elsewhere the truth lies between them (14.38 % and 15.69 %)."""
    judged = [(row, verdict(row)) for row in rows("mathvision_InternLM_XComposer2_VL_CoT.jsonl")]
    consensus = [correct == row["ref_correct"] for row, correct in judged if row["consensus"]]
    assert sum(consensus) / len(consensus) >= 0.999
    assert 14.38 - 0.3 <= 100 * sum(correct for _, correct in judged) / len(judged) <= 15.69 + 0.7


def test_tabmwp_agrees_with_its_authors_on_free_answers() -> None:
    agree = [verdict(row) == row["ref_correct"] for row in rows("tabmwp_gpt3_exp4.jsonl") if not row["choices"]]
    assert sum(agree) / len(agree) >= 0.99


def test_the_hand_judged_rows() -> None:
    wrong = [row["id"] for row in rows("tricky.jsonl") if row["verdict"] is not None and verdict(row) != row["verdict"]]
    assert not wrong
