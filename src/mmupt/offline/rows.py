"""Rows with responses to grade or to vote on: `.jsonl`, `.parquet` or standard input, read one at a time.

| column | what it holds |
|---|---|
| `response` or `responses` | one text, or a list of them; an empty text is a response without an answer |
| `answer` | the gold answer, text or a number |
| `choices` | a list of texts, or null |
| `unit`, `precision` | of the gold answer: its unit, and how many decimals it has; both may be null |
| `id` | text or a number; a row without one is called `<file stem>-<row number>` |
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmupt.data.columns import LETTERS, RowProblem, read_text, shown
from mmupt.data.problems import LISTED, SkippedRow, bad_rows_message
from mmupt.data.readers import SUFFIXES, read_file, read_lines
from mmupt.data.rows import RawRow, RowSource
from mmupt.errors import DataError

STDIN = "-"
BadRows = Literal["stop", "skip"]
COLUMNS = ("id", "response", "responses", "answer", "choices", "unit", "precision")
MAX_PRECISION = 100  # decimals; no gold answer has more, and a larger number is a mistake


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """The responses to one question, with what is needed to judge them. `single` where the row holds a `response`
    and not a list; `answer` is None where the row is not labeled."""

    id: str
    responses: tuple[str, ...]
    single: bool
    answer: str | None
    choices: tuple[str, ...] | None
    unit: str | None
    precision: int | None


@dataclass(slots=True)
class ResponseRows:
    """The usable rows of a source: iterate it once.

    Iterating ends in a `DataError` where the source has no row or no usable one, and, unless `bad_rows` is "skip",
    where it has bad rows. After the first of these only the rest of the bad rows is looked for: none is handed out.
    `bad` holds the first bad rows, `num_bad` counts all.
    """

    source: RowSource
    read: Callable[[RawRow, str], ResponseRow]
    bad_rows: BadRows
    bad: list[SkippedRow] = field(default_factory=list)
    num_bad: int = 0

    def __iter__(self) -> Iterator[ResponseRow]:
        none_left = True
        for raw in self.source:
            try:
                if raw.problem is not None:
                    raise RowProblem("line", raw.problem)
                row = self.read(raw, self.source.stem)
            except RowProblem as problem:
                self._leave_out(raw.where, str(problem))
                continue
            none_left = False
            if self.bad_rows == "skip" or not self.num_bad:
                yield row
        if none_left and not self.num_bad:
            raise DataError(f"{self.source.label} holds no rows; write one JSON object a line")
        if self.num_bad and (self.bad_rows == "stop" or none_left):
            advice = None if none_left else "Give --bad-rows skip to leave bad rows out and count them."
            raise DataError(bad_rows_message(self.bad, count=self.num_bad, none_left=none_left, advice=advice))

    def _leave_out(self, where: str, reason: str) -> None:
        self.num_bad += 1
        if len(self.bad) < LISTED:
            self.bad.append(SkippedRow(where, reason))


def open_source(file: str) -> RowSource:
    """The raw rows of a `.jsonl` or `.parquet` file, or of standard input ("-", JSON lines).

    Raises `DataError` where there is no such file or it is of another kind.
    """
    if file == STDIN:
        return read_lines(_stdin(), COLUMNS, label="stdin")
    path = Path(file).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{file}: {what}; give a {' or '.join(SUFFIXES)} file, or {STDIN} for standard input")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{file}: is no {' or '.join(SUFFIXES)} file; convert it to one of them")
    return read_file(path, COLUMNS)


def _stdin() -> Iterator[bytes]:
    try:
        yield from sys.stdin.buffer
    except OSError as error:
        raise DataError(f"standard input cannot be read ({error}); pipe JSON lines into the command") from error


def read_labeled_row(raw: RawRow, stem: str) -> ResponseRow:
    """A row to grade: one response or several, and a gold answer. Raises `RowProblem`."""
    row = _read(raw, stem)
    if row.answer is None:
        raise RowProblem("answer", "the gold answer is missing; write it, or vote on rows without one (mmupt vote)")
    return row


def read_group_row(raw: RawRow, stem: str) -> ResponseRow:
    """A row to vote on: a list of responses; the gold answer may be null or absent. Raises `RowProblem`."""
    row = _read(raw, stem)
    if row.single:
        raise RowProblem("responses", 'is missing, the row holds one "response"; a vote needs a list of them')
    return row


def _read(raw: RawRow, stem: str) -> ResponseRow:
    values = raw.values
    response, responses = values.get("response"), values.get("responses")
    if response is not None and responses is not None:
        raise RowProblem("response", 'the row holds "response" and "responses"; keep one of them')
    if response is None and responses is None:
        raise RowProblem("response", 'the row holds neither "response" nor "responses"; write what the model said')
    if response is not None and not isinstance(response, str):
        raise RowProblem("response", f"holds {shown(response)}; write one text, or a list of texts as responses")
    answer = read_text(values.get("answer"), "answer")
    if answer is not None and not answer.strip():
        raise RowProblem("answer", "the gold answer is empty; write it")
    return ResponseRow(
        id=read_text(values.get("id"), "id") or f"{stem}-{raw.number}",
        responses=(response,) if response is not None else _responses(responses),
        single=response is not None,
        answer=answer,
        choices=_choices(values.get("choices")),
        unit=read_text(values.get("unit"), "unit") or None,
        precision=_precision(values.get("precision")),
    )


def _responses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RowProblem("responses", f"holds {shown(value)}; write a list of texts, or one text as response")
    if not value:
        raise RowProblem("responses", "holds an empty list; write at least one response, or remove the row")
    return _texts(value, "responses")


def _choices(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise RowProblem("choices", f"holds {shown(value)}; write a list of texts, or null")
    if len(value) > len(LETTERS):
        raise RowProblem("choices", f"holds {len(value)} choices; {len(LETTERS)} (A to Z) are the most")
    numbers_as_text = [str(item) if type(item) in (int, float) else item for item in value]
    return _texts(numbers_as_text, "choices") or None


def _texts(values: Sequence[object], column: str) -> tuple[str, ...]:
    texts = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, str):
            raise RowProblem(column, f"entry {number} is {shown(value)}; write a text")
        texts.append(value)
    return tuple(texts)


def _precision(value: object) -> int | None:
    """Decimals of the gold answer: a whole number, also as a float (1.0), as tables with gaps store it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowProblem("precision", f"holds {shown(value)}; write how many decimals the answer has, or null")
    if value != value or not 0 <= value <= MAX_PRECISION or value != int(value):
        raise RowProblem("precision", f"is {value}; write a whole number of decimals, 0 to {MAX_PRECISION}, or null")
    return int(value)
