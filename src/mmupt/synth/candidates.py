"""Every question that was written, kept or not, with all that speaks for and against it; and its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmupt.errors import RunFolderError
from mmupt.runtime.parquet import IMAGE, image_value, read_table, text_value, write_table
from mmupt.synth.filters import Reason
from mmupt.synth.subjects import Subject
from mmupt.types import StopReason


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response that was to be a question about a subject, `<source>#<index>`.

    `question` is what could be read of it. `dropped` says why it is not kept, None where it is, and `detail` what was
    seen. `answers` are the model's own to it, `majority` and `share` their vote, where it came so far; `blind` is the
    share of answers without the picture that are the same.
    """

    id: str
    source: str
    seed: int
    response: str
    stop: StopReason
    question: str | None = None
    given: str | None = None
    dropped: Reason | None = None
    detail: str = ""
    answers: tuple[str | None, ...] = ()
    majority: str | None = None
    share: float | None = None
    blind: float | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """All that was written about a subject. `passed_over` names, by prompt id, why nothing was asked."""

    subject: Subject
    candidates: tuple[Candidate, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self.candidates if candidate.dropped is None)


_CANDIDATE = pa.struct(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("seed", pa.int64()),
        ("response", pa.string()),
        ("stop", pa.string()),
        ("question", pa.string()),  # null where none could be read
        ("given", pa.string()),  # the answer that was shown beside the original; null where none was
        ("dropped", pa.string()),  # null where it is kept
        ("detail", pa.string()),
        ("answers", pa.list_(pa.string())),  # empty where it was never answered
        ("majority", pa.string()),
        ("share", pa.float64()),
        ("blind", pa.float64()),
    ]
)
_ORIGINAL = pa.struct([("id", pa.string()), ("question", pa.string()), ("choices", pa.list_(pa.string()))])

SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("images", pa.list_(IMAGE)),  # bytes only where the picture has no path
        ("originals", pa.list_(_ORIGINAL)),
        ("candidates", pa.list_(_CANDIDATE)),
        ("passed_over", pa.map_(pa.string(), pa.string())),
    ]
)


def write_candidates(path: Path, written: Iterable[Written]) -> None:
    """Writes one row a subject, atomically."""
    write_table(path, [_row(each) for each in written], SCHEMA)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of `write_candidates` as plain values. Raises RunFolderError where it is gone or damaged."""
    return read_table(path, None, missing="is gone; write the questions anew")


def read_candidates(path: Path, subjects: Sequence[Subject]) -> list[Written]:
    """What was written about the subjects, in their order. Raises RunFolderError where the file is about others."""
    rows = read_rows(path)
    if [row["subject"] for row in rows] != [text_value(subject.id) for subject in subjects]:
        raise RunFolderError(
            f"{path}: is about other pictures than the data has now; bring the data back, or start anew elsewhere"
        )
    return [
        Written(
            subject,
            tuple(Candidate(**{**found, "answers": tuple(found["answers"])}) for found in row["candidates"]),
            dict(row["passed_over"]),
        )
        for subject, row in zip(subjects, rows, strict=True)
    ]


def _row(written: Written) -> dict[str, object]:
    return {
        "subject": text_value(written.subject.id),
        "images": [image_value(image) for image in written.subject.images],
        "originals": [
            {"id": text_value(p.id), "question": text_value(p.question), "choices": [*map(text_value, p.choices or ())]}
            for p in written.subject.questions
        ],
        "candidates": [_values(candidate) for candidate in written.candidates],
        "passed_over": [(text_value(key), text_value(why)) for key, why in written.passed_over.items()],
    }


def _values(candidate: Candidate) -> dict[str, object]:
    values = {name: getattr(candidate, name) for name in Candidate.__dataclass_fields__}
    texts = {name: text_value(value) for name, value in values.items() if isinstance(value, str)}
    return {**values, **texts, "answers": [text_value(answer) for answer in candidate.answers]}
