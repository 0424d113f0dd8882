"""A data set in memory: prompts with their labels, or prompts alone.

`load_prompts` is label-blind by construction: it asks the reader for the columns a `Prompt` is made of and for no
others, so that deleting or shuffling the answers changes nothing.

Pictures are checked when a set is loaded. Up to `FULL_CHECK_LIMIT` of them are decoded whole. In larger sets that would
take long, so only headers are read; a file that is cut short then shows when its prompt comes up, where `check_images`
(or `open_image`) raises `DataError` and whoever encodes the prompt obeys `bad_rows`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmupt.data.columns import RowProblem, labeled_columns, prompt_columns, read_labeled, read_prompt
from mmupt.data.images import check_header, open_image
from mmupt.data.readers import read_rows
from mmupt.data.rows import RowSource
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError
from mmupt.types import ImageSource, LabeledPrompt, Prompt

FULL_CHECK_LIMIT = 5_000
_SHOWN = 5  # bad rows listed in a message beside the first
_CHECKED_AT_ONCE = 1_024

Row = TypeVar("Row", Prompt, LabeledPrompt)


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row left out: `where` it stands (file:row) and why, beginning with the column."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class DataSet(Generic[Row]):
    """Rows that can be used, in the order of the source, and those that were left out of it."""

    rows: tuple[Row, ...]
    skipped: tuple[SkippedRow, ...]
    source: str


def load_prompts(settings: DataSettings) -> DataSet[Prompt]:
    """The questions and pictures of a source, without ever reading its labels.

    Raises `DataError` for a source that cannot be read or is empty, and, unless `bad_rows = "skip"`, for bad rows: the
    first of them with how many others there are.
    """
    columns = settings.columns
    roles = prompt_columns(columns)
    source = read_rows(settings, roles.values())
    return _load(
        settings,
        source,
        roles,
        lambda row: read_prompt(row, columns, settings.placeholders, stem=source.stem, folder=source.folder),
        lambda prompt: prompt,
    )


def load_labeled(settings: DataSettings) -> DataSet[LabeledPrompt]:
    """The questions and pictures of a source with their answers; a row without an answer is a bad row.

    Raises `DataError` like `load_prompts`.
    """
    columns = settings.columns
    roles = labeled_columns(columns)
    source = read_rows(settings, roles.values())
    return _load(
        settings,
        source,
        roles,
        lambda row: read_labeled(row, columns, settings.placeholders, stem=source.stem, folder=source.folder),
        lambda labeled: labeled.prompt,
    )


def check_images(prompt: Prompt) -> None:
    """Decode every picture of the prompt and forget it. Raises `DataError` for one that cannot be used."""
    for image in prompt.images:
        open_image(image)


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[Row]):
    where: str
    number: int
    row: Row
    prompt: Prompt


def _load(
    settings: DataSettings,
    source: RowSource,
    roles: dict[str, str],
    parse: Callable[..., Row],
    prompt_of: Callable[[Row], Prompt],
) -> DataSet[Row]:
    candidates: list[_Candidate[Row]] = []
    bad: dict[int, SkippedRow] = {}
    first_with: dict[str, str] = {}
    for raw in source:
        try:
            if raw.problem is not None:
                raise RowProblem("line", raw.problem)
            row = parse(raw)
            prompt = prompt_of(row)
            earlier = first_with.setdefault(prompt.id, raw.where)
            if earlier != raw.where:
                raise RowProblem(roles["id"], f'"{prompt.id}" is already the id of {earlier}; give each row its own')
        except RowProblem as problem:
            bad[raw.number] = SkippedRow(raw.where, str(problem))
        else:
            candidates.append(_Candidate(raw.where, raw.number, row, prompt))
    if not candidates and not bad:
        raise DataError(f"{source.label} holds no rows; check data.path and data.split")
    _require_columns(source, settings.columns, roles)

    problems = _image_problems([image for candidate in candidates for image in candidate.prompt.images])
    for candidate in candidates:
        for image in candidate.prompt.images:
            if image in problems and candidate.number not in bad:
                bad[candidate.number] = SkippedRow(candidate.where, f"{roles['images']}: {problems[image]}")

    skipped = tuple(bad[number] for number in sorted(bad))
    rows = tuple(candidate.row for candidate in candidates if candidate.number not in bad)
    if skipped and (settings.bad_rows == "stop" or not rows):
        raise DataError(_bad_rows_message(skipped, none_left=not rows, skipping=settings.bad_rows == "skip"))
    if settings.placeholders == "prepend" and not any(candidate.prompt.images for candidate in candidates):
        raise DataError(
            f'{source.label}: data.placeholders is "prepend", but no row has a picture in column "{roles["images"]}" '
            f'(columns: {", ".join(sorted(source.columns))}); set data.columns.images, or placeholders to "require"'
        )
    return DataSet(rows=rows, skipped=skipped, source=source.label)


def _require_columns(source: RowSource, columns: ColumnSettings, roles: dict[str, str]) -> None:
    """The question, and whatever column was named otherwise than by default, must be there at all."""
    for role, name in roles.items():
        field = ColumnSettings.model_fields.get(role)
        named = field is not None and name != field.default
        if source.columns and name not in source.columns and (role == "question" or named):
            raise DataError(
                f'{source.label} has no column "{name}" (columns: {", ".join(sorted(source.columns))}); '
                f"set data.columns.{role} to the right one"
            )


def _image_problems(images: Sequence[ImageSource]) -> dict[ImageSource, str]:
    """What is wrong with those pictures that cannot be used; each is looked at once, however many rows share it."""
    check: Callable[[ImageSource], object] = open_image if len(images) <= FULL_CHECK_LIMIT else check_header

    def problem(image: ImageSource) -> str | None:
        try:
            check(image)
        except DataError as error:
            return str(error)
        return None

    once = list(dict.fromkeys(images))
    problems: dict[ImageSource, str] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes outside the GIL
        for start in range(0, len(once), _CHECKED_AT_ONCE):
            part = once[start : start + _CHECKED_AT_ONCE]
            found = zip(part, pool.map(problem, part), strict=True)
            problems.update({image: text for image, text in found if text is not None})
    return problems


def _bad_rows_message(bad: Sequence[SkippedRow], *, none_left: bool, skipping: bool) -> str:
    first, others = bad[0], bad[1:]
    lines = [f"{first.where}: {first.reason}"]
    if others:
        listed = f"{len(others)} other bad row" + ("s" if len(others) > 1 else "")
        lines.append(f"{listed}{f', the first {_SHOWN} of them' if len(others) > _SHOWN else ''}:")
        lines += [f"  - {row.where}: {row.reason}" for row in others[:_SHOWN]]
    if none_left:
        lines.append("No usable row is left.")
    if not skipping:
        lines.append('Set data.bad_rows = "skip" to leave bad rows out and count them.')
    return "\n".join(lines)
