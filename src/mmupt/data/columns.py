"""From the columns of a raw row to a `Prompt`, a `LabeledPrompt` or a `PreferencePair`, or to one reason why not.

Placeholders. A prompt's question holds exactly one `<image>` for each picture. With `placeholders = "require"` the
source must have it so. With "prepend" a question without any gets them in front; and where such a question numbers its
pictures (`<image1>`, `<image2>`, ... as in MATH-Vision, whose one file shows all of them side by side), the numbers
become words, "image 1", in question, choices, answer, solution and responses alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from mmupt.data.images import encode_png
from mmupt.data.rows import RawRow
from mmupt.data.settings import ColumnSettings
from mmupt.types import ImageSource, LabeledPrompt, PreferencePair, Prompt

PLACEHOLDER = "<image>"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Columns of mmupt's own format that no field of `LabeledPrompt` has; they travel in `meta`.
FORMAT_COLUMNS = ("answer_kind", "ans_type")
_NUMBERED = re.compile(r"<image ?(\d{1,3})>")


class RowProblem(Exception):
    """Why a row cannot be used: the column, what is wrong with it, what to do."""

    def __init__(self, column: str, text: str) -> None:
        super().__init__(f"{column}: {text}")


def prompt_columns(columns: ColumnSettings) -> dict[str, str]:
    """Role to column of everything a prompt is made of. No label is among them."""
    return {role: getattr(columns, role) for role in ("id", "question", "images", "choices")}


def labeled_columns(columns: ColumnSettings) -> dict[str, str]:
    """Role to column of everything a labeled prompt is made of."""
    labels = {role: getattr(columns, role) for role in ("answer", "unit", "solution", "meta")}
    return prompt_columns(columns) | labels | {name: name for name in FORMAT_COLUMNS}


def pair_columns(columns: ColumnSettings) -> dict[str, str]:
    """Role to column of everything a preference pair is made of."""
    return prompt_columns(columns) | {role: getattr(columns, role) for role in ("chosen", "rejected", "meta")}


def read_prompt(
    row: RawRow, columns: ColumnSettings, placeholders: Literal["require", "prepend"], *, stem: str, folder: Path
) -> Prompt:
    """The prompt in `row`. Raises `RowProblem`. A row without an id is called `<stem>-<row number>`."""
    values = row.values
    question = read_text(values.get(columns.question), columns.question)
    if question is None or not question.strip():
        raise RowProblem(columns.question, "the question is missing or empty; write one")
    images = _images(values.get(columns.images), columns.images, folder)
    choices = _choices(values.get(columns.choices), columns.choices)
    prepend = _is_prepended(question, images, placeholders)
    question = _place(question, len(images), columns.question, prepend=prepend)
    if prepend and choices:
        choices = tuple(_number_in_words(choice) for choice in choices)
    name = read_text(values.get(columns.id), columns.id)
    return Prompt(id=name or f"{stem}-{row.number}", question=question, images=images, choices=choices)


def read_labeled(
    row: RawRow, columns: ColumnSettings, placeholders: Literal["require", "prepend"], *, stem: str, folder: Path
) -> LabeledPrompt:
    """The prompt in `row` with its labels. Raises `RowProblem`, also where there is no answer."""
    prompt = read_prompt(row, columns, placeholders, stem=stem, folder=folder)
    values = row.values
    answer = read_text(values.get(columns.answer), columns.answer)
    if answer is None or not answer.strip():
        raise RowProblem(
            columns.answer, 'the answer is missing or empty; write one, or train on this set with a stage of kind "upt"'
        )
    solution = read_text(values.get(columns.solution), columns.solution) or None
    if _was_prepended(values.get(columns.question), prompt, placeholders):
        answer = _number_in_words(answer)
        solution = _number_in_words(solution) if solution else None
    extra = {name: values[name] for name in FORMAT_COLUMNS if values.get(name) is not None}
    return LabeledPrompt(
        prompt=prompt,
        answer=answer,
        unit=read_text(values.get(columns.unit), columns.unit) or None,
        solution=solution,
        meta=_meta(values.get(columns.meta)) | extra,
    )


def read_pair(
    row: RawRow, columns: ColumnSettings, placeholders: Literal["require", "prepend"], *, stem: str, folder: Path
) -> PreferencePair:
    """The prompt in `row` with its two responses. Raises `RowProblem`, also where one is missing or both are equal."""
    prompt = read_prompt(row, columns, placeholders, stem=stem, folder=folder)
    chosen, rejected = (_response(row.values.get(name), name) for name in (columns.chosen, columns.rejected))
    if _was_prepended(row.values.get(columns.question), prompt, placeholders):
        chosen, rejected = _number_in_words(chosen), _number_in_words(rejected)
    if chosen == rejected:
        raise RowProblem(
            columns.rejected,
            f'the response equals the one in "{columns.chosen}", so there is nothing to prefer; write another one, or '
            "leave the row out",
        )
    return PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected, meta=_meta(row.values.get(columns.meta)))


def _response(value: object, column: str) -> str:
    text = read_text(value, column)
    if text is None or not text.strip():
        raise RowProblem(column, "the response is missing or empty; write one, or leave the row out")
    return text


def _meta(value: object) -> dict[str, object]:
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else {"meta": value}


def read_pictures(row: RawRow, columns: ColumnSettings, folder: Path) -> tuple[ImageSource, ...]:
    """The pictures in `row`, whatever its question says. Raises `RowProblem`."""
    return _images(row.values.get(columns.images), columns.images, folder)


def read_text(value: object, column: str) -> str | None:
    """A string as it is, a number as a string, nothing as None. Raises `RowProblem` for all else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise RowProblem(column, f"holds {shown(value)}, which is neither text nor a number; write it as text")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowProblem(column, f"holds {value}, which is not a finite number; write it as text")
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise RowProblem(column, "holds half of a surrogate pair, which is no text; repair it") from None
    return text


def _choices(value: object, column: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise RowProblem(column, f"holds {shown(value)}; write a list of choices, or null")
    choices = []
    for item in value:
        choice = read_text(item, column)
        if choice is None:
            raise RowProblem(column, "holds an empty choice (null); write its text")
        choices.append(choice)
    if len(choices) > len(LETTERS):
        raise RowProblem(column, f"holds {len(choices)} choices; {len(LETTERS)} (A to Z) are the most")
    return tuple(choices) or None


def _images(value: object, column: str, folder: Path) -> tuple[ImageSource, ...]:
    """None, one picture or a list of them; a picture is a path, bytes, struct{bytes, path} or a PIL image."""
    if value is None:
        return ()
    items = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_image(item, column, folder) for item in items)


def _image(value: object, column: str, folder: Path) -> ImageSource:
    if isinstance(value, Mapping):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
    if isinstance(value, bytes):
        return ImageSource(data=value)
    if isinstance(value, str) and (value.startswith("data:") or len(value) > 4096):
        raise RowProblem(column, "holds an encoded picture as text; save it to a file and write its path")
    if isinstance(value, str) and value:
        return ImageSource(path=value if "://" in value else str(folder / value))
    if isinstance(value, Image.Image):
        return ImageSource(data=encode_png(value))
    raise RowProblem(column, f"holds {shown(value)} where a picture should be; write its path or its bytes")


def _is_prepended(question: str, images: Sequence[ImageSource], placeholders: str) -> bool:
    return placeholders == "prepend" and bool(images) and PLACEHOLDER not in question


def _was_prepended(question: object, prompt: Prompt, placeholders: str) -> bool:
    """The same of the row's question as it was before `read_prompt`."""
    return isinstance(question, str) and _is_prepended(question, prompt.images, placeholders)


def _place(question: str, pictures: int, column: str, *, prepend: bool) -> str:
    """The question with exactly one `<image>` a picture."""
    found = question.count(PLACEHOLDER)
    numbers = [int(number) for number in _NUMBERED.findall(question)]
    if prepend:
        if pictures > 1 and any(not 1 <= number <= pictures for number in numbers):
            raise RowProblem(column, f"names picture <image{max(numbers)}>, but the row has {_pictures(pictures)}")
        return PLACEHOLDER * pictures + _number_in_words(question)
    if numbers and found == 0:
        raise RowProblem(
            column,
            f"numbers its placeholders (<image{numbers[0]}>) and has {_pictures(pictures)}; "
            + (
                'set data.placeholders = "prepend"'
                if pictures
                else "set data.columns.images to the column with pictures"
            ),
        )
    if found != pictures:
        hint = ', or set data.placeholders = "prepend" to put them in front' if found == 0 else ""
        raise RowProblem(
            column, f"holds {found} {PLACEHOLDER} for {_pictures(pictures)}; write one where each picture belongs{hint}"
        )
    return question


def _number_in_words(text: str) -> str:
    """`<image2>` as "image 2", kept apart from the words it touches."""

    def words(match: re.Match[str]) -> str:
        before = " " if text[: match.start()][-1:].isalnum() else ""
        after = " " if text[match.end() :][:1].isalnum() else ""
        return f"{before}image {match[1]}{after}"

    return _NUMBERED.sub(words, text)


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"


def shown(value: object) -> str:
    """How messages show a value of the wrong type."""
    text = repr(value)
    return f"a {type(value).__name__} ({text[:40]}{'...' if len(text) > 40 else ''})"
