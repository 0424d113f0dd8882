"""Write prompts in mmupt's own format: `<split>.jsonl`, one object a line, and PNG files in `images/`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmupt.data.columns import FORMAT_COLUMNS, LETTERS
from mmupt.data.images import encode_png, open_image
from mmupt.errors import DataError
from mmupt.types import ImageSource, LabeledPrompt, PreferencePair, Prompt

Writable = LabeledPrompt | PreferencePair | Prompt


def write_jsonl(
    folder: Path, split: str, rows: Iterable[Writable], *, meta: Mapping[str, Mapping[str, object]] | None = None
) -> Path:
    """Write `rows` to `<folder>/<split>.jsonl`, which `load_prompts`, `load_labeled` or `load_pairs` reads back.

    Pictures become PNG files named by their content, so one that several rows share is stored once. The file appears
    when it is complete. `meta` is what to keep of rows without labels, by their ids. Raises `DataError` when the file
    exists already, when two rows share an id, when a picture cannot be decoded, when there are no rows.
    """
    if not split or Path(split).name != split:
        raise DataError(f'a split is the name of a file, not "{split}"; use a word such as "train"')
    path = folder / f"{split}.jsonl"
    if path.exists():
        raise DataError(f"{path} exists; remove it or write to another folder")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{split}.jsonl.unfinished"
    ids: set[str] = set()
    notes = meta or {}
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                values = _values(row, folder)
                name = str(values["id"])
                if isinstance(row, Prompt) and name in notes:
                    values["meta"] = dict(notes[name])
                if name in ids:
                    raise DataError(f'{path}: two rows have the id "{name}"; give each row its own')
                ids.add(name)
                file.write(_line(values, path) + "\n")
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the rows
        if not ids:
            raise DataError(f"{path}: there are no rows to write")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _values(row: Writable, folder: Path) -> dict[str, object]:
    prompt = row if isinstance(row, Prompt) else row.prompt
    choices = list(prompt.choices) if prompt.choices else None
    images = [_write_image(image, folder) for image in prompt.images]
    values: dict[str, object] = {"id": prompt.id, "question": prompt.question, "images": images, "choices": choices}
    if isinstance(row, Prompt):
        return values
    if isinstance(row, PreferencePair):
        return values | {"chosen": row.chosen, "rejected": row.rejected, "meta": dict(row.meta)}
    meta = {key: value for key, value in row.meta.items() if key not in FORMAT_COLUMNS}
    values |= {
        "answer": row.answer,
        "answer_kind": row.meta.get("answer_kind", _answer_kind(row)),
        "unit": row.unit,
        "ans_type": row.meta.get("ans_type"),
        "meta": meta,
    }
    return values if row.solution is None else values | {"solution": row.solution}


def _answer_kind(row: LabeledPrompt) -> str:
    """ "choice_text": equal to a choice; "letter": A, B, ... for one; "free": a value or text."""
    choices = row.prompt.choices or ()
    if row.answer in choices:
        return "choice_text"
    return "letter" if choices and row.answer in tuple(LETTERS[: len(choices)]) else "free"


def _write_image(image: ImageSource, folder: Path) -> str:
    png = encode_png(open_image(image))
    name = f"images/{hashlib.sha256(png).hexdigest()[:24]}.png"
    path = folder / name
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(png)
        os.replace(unfinished, path)
    return name


def _line(values: dict[str, object], path: Path) -> str:
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f'{path}: the row "{values["id"]}" is no JSON ({error}); simplify its meta') from error
