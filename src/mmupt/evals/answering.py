"""Putting questions to a model, part by part: what a killed measurement has answered is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from mmupt.engines.base import Engine, Request, Sampling
from mmupt.errors import DataError, RunFolderError
from mmupt.evals.responses import RESPONSE, Response, Responses, response_of, response_value
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.runtime.ahead import ahead
from mmupt.runtime.files import well_formed
from mmupt.runtime.parquet import read_table, write_table
from mmupt.runtime.progress import Progress
from mmupt.runtime.seeds import derive_seed
from mmupt.types import EncodedPrompt, LabeledPrompt

_PART = pa.schema([("id", pa.string()), ("greedy", RESPONSE), ("samples", pa.list_(RESPONSE))])


def answer_questions(
    questions: EvaluationSet,
    encoder: PromptEncoder,
    engine: Engine,
    settings: EvaluationSettings,
    *,
    name: str,
    seed: int,
    progress: Progress,
    parts: Path | None = None,
) -> list[tuple[LabeledPrompt, Responses]]:
    """Every row that can be put to the model with the model's responses, in the order of the set.

    `settings.prompts_at_once` rows make a part, which is written to the folder `parts` once it is answered and read
    from there when it is there already. Sampling seeds derive from (seed, prompt id, index), so that two models are
    compared on the same random numbers, and a resumed measurement equals an undisturbed one.

    Raises DataError for a row that cannot be encoded where neither set nor settings let it be skipped, RunFolderError
    for a part of other questions than these.
    """
    rows, size = questions.rows.rows, settings.prompts_at_once
    starts = range(0, len(rows), size)
    files = {start: parts / f"{start:06d}.parquet" for start in starts} if parts is not None else {}
    kept = {start for start, file in files.items() if file.exists()}
    encodings = (
        _encodable(rows[start : start + size], encoder, settings.prompt.too_long, questions.bad_rows)
        for start in starts
        if start not in kept
    )
    answered: list[tuple[LabeledPrompt, Responses]] = []
    progress.stage(f"{name} (evaluation)", len(rows))
    with ahead(encodings) as encoded:
        for start in starts:
            if start in kept:
                answered += _read_part(files[start], rows[start : start + size])
            else:
                fresh = _answer(next(encoded), engine, settings, seed)
                if start in files:
                    _write_part(files[start], fresh)
                answered += fresh
            progress.advance(min(start + size, len(rows)), len(rows))
    return answered


def _answer(
    asked: Sequence[tuple[LabeledPrompt, EncodedPrompt]], engine: Engine, settings: EvaluationSettings, seed: int
) -> list[tuple[LabeledPrompt, Responses]]:
    if not asked:
        return []
    one = engine.generate([Request(e, (0,)) for _, e in asked], Sampling(0.0, 1.0, settings.max_new_tokens))
    many = engine.generate(
        [
            Request(e, tuple(derive_seed(seed, "evaluation", row.prompt.id, i) for i in range(settings.samples)))
            for row, e in asked
        ],
        Sampling(settings.temperature, settings.top_p, settings.max_new_tokens),
    )
    return [
        (row, Responses(response_of(greedy), tuple(map(response_of, samples))))
        for (row, _), (greedy,), samples in zip(asked, one, many, strict=True)
    ]


def _encodable(
    rows: Sequence[LabeledPrompt],
    encoder: PromptEncoder,
    too_long: Literal["stop", "skip"],
    bad_rows: Literal["stop", "skip"],
) -> list[tuple[LabeledPrompt, EncodedPrompt]]:
    """Rows with their encoding, without those that may be skipped."""
    kept: list[tuple[LabeledPrompt, EncodedPrompt]] = []
    for row in rows:
        try:
            kept.append((row, encoder(row.prompt)))
        except DataError as error:
            if (too_long if isinstance(error, PromptTooLong) else bad_rows) == "stop":
                raise
    return kept


def _write_part(file: Path, answered: Sequence[tuple[LabeledPrompt, Responses]]) -> None:
    rows: list[dict[str, object]] = [
        {
            "id": well_formed(row.prompt.id),
            "greedy": response_value(responses.greedy),
            "samples": [response_value(sample) for sample in responses.samples],
        }
        for row, responses in answered
    ]
    write_table(file, rows, _PART)


def _read_part(file: Path, rows: Sequence[LabeledPrompt]) -> list[tuple[LabeledPrompt, Responses]]:
    kept = read_table(file, None, missing="is gone")
    known = {well_formed(row.prompt.id): row for row in rows}
    strangers = [str(entry["id"]) for entry in kept if entry["id"] not in known]
    if strangers:
        raise RunFolderError(
            f'{file}: answers "{strangers[0]}", which is not among the questions now: the data has changed since the '
            "run began; bring it back, or start a new run"
        )
    return [
        (known[entry["id"]], Responses(Response(**entry["greedy"]), tuple(Response(**s) for s in entry["samples"])))
        for entry in kept
    ]
