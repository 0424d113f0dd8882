"""`evals/<name>.parquet`: every question of a measurement with all that was answered, read and judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmupt.evals.grading import GradedQuestion, Verdicts
from mmupt.evals.responses import RESPONSE, response_value
from mmupt.runtime.files import to_json
from mmupt.runtime.parquet import IMAGE, image_value, read_table, text_value, write_table

_VERDICTS = pa.struct([("greedy", pa.bool_()), ("samples", pa.list_(pa.bool_()))])

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("set", pa.string()),
        ("question", pa.string()),
        ("images", pa.list_(IMAGE)),  # bytes only where the picture has no path
        ("choices", pa.list_(pa.string())),  # null where the question is open
        ("gold", pa.string()),
        ("unit", pa.string()),
        ("meta", pa.string()),  # JSON
        ("greedy", RESPONSE),
        ("greedy_answer", pa.string()),  # null where none could be read
        ("greedy_correct", pa.bool_()),
        ("samples", pa.list_(RESPONSE)),  # this and the next two: one entry a sample
        ("answers", pa.list_(pa.string())),
        ("correct", pa.list_(pa.bool_())),
        ("majority", pa.string()),  # null where nobody won
        ("share", pa.float64()),
        ("tie", pa.bool_()),
        ("majority_correct", pa.float64()),  # a tie counts by the share of tied clusters that are right
        ("rules", pa.map_(pa.string(), _VERDICTS)),  # the benchmark's own verdicts
        ("greedy_judged", pa.bool_()),  # null without a judge, as the next
        ("judged", pa.list_(pa.bool_())),
    ]
)


def write_records(path: Path, set_name: str, questions: Sequence[GradedQuestion]) -> None:
    """Writes one row a question, atomically."""
    write_table(path, [_row(set_name, question) for question in questions], SCHEMA)


def read_records(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a file of `write_records`, or some of their columns.

    Raises RunFolderError where the file is missing, damaged, or lacks a column.
    """
    return read_table(path, columns, missing="there is no such measurement; check its name")


def _row(set_name: str, question: GradedQuestion) -> dict[str, object]:
    row, vote, judged = question.row, question.vote, question.judged
    return {
        "id": text_value(row.prompt.id),
        "set": set_name,
        "question": text_value(row.prompt.question),
        "images": [image_value(image) for image in row.prompt.images],
        "choices": None if row.prompt.choices is None else [text_value(choice) for choice in row.prompt.choices],
        "gold": text_value(row.answer),
        "unit": text_value(row.unit),
        "meta": to_json(json.loads(json.dumps(dict(row.meta), default=str))),
        "greedy": response_value(question.responses.greedy),
        "greedy_answer": text_value(question.greedy_answer),
        "greedy_correct": question.ours.greedy,
        "samples": [response_value(sample) for sample in question.responses.samples],
        "answers": [text_value(answer) for answer in vote.answers],
        "correct": list(question.ours.samples),
        "majority": text_value(vote.winner.answer) if vote.winner else None,
        "share": vote.share,
        "tie": vote.tie,
        "majority_correct": question.majority_correct,
        "rules": [(name, _verdicts(verdicts)) for name, verdicts in question.by_rule.items()],
        "greedy_judged": None if judged is None else judged.greedy,
        "judged": None if judged is None else list(judged.samples),
    }


def _verdicts(verdicts: Verdicts) -> dict[str, object]:
    return {"greedy": verdicts.greedy, "samples": list(verdicts.samples)}
