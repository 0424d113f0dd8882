"""Asking part by part: what a killed stage has heard is not asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmupt.errors import RunFolderError
from mmupt.evals.responses import RESPONSE, Response, response_value
from mmupt.runtime.files import well_formed
from mmupt.runtime.parquet import read_table, text_value, write_table
from mmupt.runtime.progress import Progress
from mmupt.selftrain.heard import Heard
from mmupt.types import Prompt

Ask = Callable[[Sequence[Prompt]], list[Heard]]
"""Puts prompts to the model. What it hears of one must depend on that prompt and on seeds alone, never on its
neighbours or on what was asked before; there is one `Heard` a prompt, in order, about that prompt's pictures."""

_PART = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),  # as a row is learned under it
        ("choices", pa.list_(pa.string())),  # null where the question is open
        ("responses", pa.list_(RESPONSE)),
        ("answers", pa.list_(pa.string())),  # one a response, null where none could be read
        ("scores", pa.list_(pa.float64())),  # null where nothing was judged
        ("how", pa.string()),
        ("refused", pa.string()),
    ]
)


def collect(prompts: Sequence[Prompt], ask: Ask, size: int, parts: Path, progress: Progress, stage: str) -> list[Heard]:
    """What the model says to every prompt, in order. `size` prompts make a part, which is written to the folder `parts`
    once it is asked, and read from there when it is there already.

    Raises what `ask` raises, and RunFolderError for a part about other prompts than these.
    """
    heard: list[Heard] = []
    progress.stage(stage, len(prompts))
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        file = parts / f"{start:06d}.parquet"
        if not file.exists():
            write_table(file, [_row(said) for said in ask(part)], _PART)
        heard += _read(file, part)  # fresh ones too, so that a resumed stage works on the same text
        progress.advance(start + len(part), len(prompts))
    return heard


def _row(said: Heard) -> dict[str, object]:
    choices = said.prompt.choices
    return {
        "id": well_formed(said.prompt.id),
        "question": well_formed(said.prompt.question),
        "choices": [well_formed(choice) for choice in choices] if choices is not None else None,
        "responses": [response_value(response) for response in said.responses],
        "answers": [text_value(answer) for answer in said.answers],
        "scores": list(said.scores) if said.scores is not None else None,
        "how": text_value(said.how),
        "refused": said.refused,
    }


def _read(file: Path, prompts: Sequence[Prompt]) -> list[Heard]:
    rows = read_table(file, None, missing="is gone")
    if [row["id"] for row in rows] != [well_formed(prompt.id) for prompt in prompts]:
        raise RunFolderError(
            f"{file}: is about other prompts than the data holds now, which has changed since the run began; "
            "bring it back, or start a new run"
        )
    return [_heard(row, prompt) for row, prompt in zip(rows, prompts, strict=True)]


def _heard(row: dict[str, Any], prompt: Prompt) -> Heard:
    choices = tuple(row["choices"]) if row["choices"] is not None else None
    return Heard(
        replace(prompt, question=row["question"], choices=choices),
        tuple(Response(**response) for response in row["responses"]),
        tuple(row["answers"]),
        tuple(row["scores"]) if row["scores"] is not None else None,
        row["how"],
        row["refused"],
    )
