"""A data set in memory: prompts with their labels, prompts with two responses, or prompts alone.

`load_prompts` is label-blind by construction: it asks the reader for the columns a `Prompt` is made of and for no
others, so that deleting or shuffling the answers changes nothing.

Pictures are checked when a set is loaded. Up to `FULL_CHECK_LIMIT` of them are decoded whole. In larger sets that would
take long, so only headers are read; a file that is cut short then shows when its prompt comes up, where `check_images`
(or `open_image`) raises `DataError` and whoever encodes the prompt obeys `bad_rows`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mmupt.data.columns import (
    RowProblem,
    labeled_columns,
    pair_columns,
    prompt_columns,
    read_labeled,
    read_pair,
    read_prompt,
)
from mmupt.data.images import check_header, open_image
from mmupt.data.problems import SkippedRow, bad_rows_message
from mmupt.data.readers import read_rows
from mmupt.data.rows import RawRow, RowSource
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError
from mmupt.types import ImageSource, LabeledPrompt, PreferencePair, Prompt

FULL_CHECK_LIMIT = 5_000
_CHECKED_AT_ONCE = 1_024
_SKIPPING = 'Set data.bad_rows = "skip" to leave bad rows out and count them.'

Row = TypeVar("Row", Prompt, LabeledPrompt, PreferencePair)


@dataclass(frozen=True, slots=True)
class DataSet(Generic[Row]):
    """Rows that can be used, in the order of the source, and those that were left out of it."""

    rows: tuple[Row, ...]
    skipped: tuple[SkippedRow, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """How rows of another layout become rows of the settings' columns: `columns` are what `convert` wants to be given
    beside these. It is handed every row and may return it as it is; it raises `RowProblem` for a bad one."""

    columns: frozenset[str]
    convert: Callable[[Mapping[str, object]], Mapping[str, object]]


def load_prompts(settings: DataSettings) -> DataSet[Prompt]:
    """The questions and pictures of a source, without ever reading its labels.

    Raises `DataError` for a source that cannot be read or is empty, and, unless `bad_rows = "skip"`, for bad rows: the
    first of them with how many others there are.
    """
    columns = settings.columns
    roles = prompt_columns(columns)
    source = read_rows(settings, roles.values())
    return load_rows(
        settings,
        source,
        roles,
        lambda row: read_prompt(row, columns, settings.placeholders, stem=source.stem, folder=source.folder),
        lambda prompt: prompt,
    )


def load_labeled(settings: DataSettings, *, conversion: Conversion | None = None) -> DataSet[LabeledPrompt]:
    """The questions and pictures of a source with their answers; a row without an answer is a bad row.

    With a `conversion` the source need not have the columns of the settings, nor any picture, and messages say nothing
    about settings of columns and bad rows, which are not the user's then.

    Raises `DataError` like `load_prompts`.
    """
    columns = settings.columns
    roles = labeled_columns(columns)
    source = read_rows(settings, {*roles.values(), *(conversion.columns if conversion else ())})

    def parse(row: RawRow) -> LabeledPrompt:
        if conversion is not None:
            row = replace(row, values=conversion.convert(row.values))
        return read_labeled(row, columns, settings.placeholders, stem=source.stem, folder=source.folder)

    return load_rows(settings, source, roles, parse, lambda labeled: labeled.prompt, any_columns=conversion is not None)


def load_pairs(settings: DataSettings) -> DataSet[PreferencePair]:
    """The questions and pictures of a source with two responses each; a row without both, or with the same one twice,
    is a bad row. Several pairs of one question each have an id of their own.

    Raises `DataError` like `load_prompts`.
    """
    columns = settings.columns
    roles = pair_columns(columns)
    source = read_rows(settings, roles.values())
    return load_rows(
        settings,
        source,
        roles,
        lambda row: read_pair(row, columns, settings.placeholders, stem=source.stem, folder=source.folder),
        lambda pair: pair.prompt,
        needed=("question", "chosen", "rejected"),
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


def load_rows(
    settings: DataSettings,
    source: RowSource,
    roles: dict[str, str],
    parse: Callable[..., Row],
    prompt_of: Callable[[Row], Prompt],
    *,
    any_columns: bool = False,
    needed: Sequence[str] = ("question",),
) -> DataSet[Row]:
    """The rows of an opened source that `parse` makes of it, under the rules of `load_prompts`: what is wrong with
    columns, rows, ids and pictures is told or, with `bad_rows = "skip"`, left out. `roles` names the columns that
    messages speak of."""
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
    if not any_columns:
        _require_columns(source, roles, needed)

    problems = _image_problems([image for candidate in candidates for image in candidate.prompt.images])
    for candidate in candidates:
        for image in candidate.prompt.images:
            if image in problems and candidate.number not in bad:
                bad[candidate.number] = SkippedRow(candidate.where, f"{roles['images']}: {problems[image]}")

    skipped = tuple(bad[number] for number in sorted(bad))
    rows = tuple(candidate.row for candidate in candidates if candidate.number not in bad)
    if skipped and (settings.bad_rows == "stop" or not rows):
        advice = _SKIPPING if settings.bad_rows == "stop" and not any_columns else None
        raise DataError(bad_rows_message(skipped, count=len(skipped), none_left=not rows, advice=advice))
    without_pictures = not any(candidate.prompt.images for candidate in candidates)
    if settings.placeholders == "prepend" and without_pictures and not any_columns:
        raise DataError(
            f'{source.label}: data.placeholders is "prepend", but no row has a picture in column "{roles["images"]}" '
            f'(columns: {", ".join(sorted(source.columns))}); set data.columns.images, or placeholders to "require"'
        )
    return DataSet(rows=rows, skipped=skipped, source=source.label)


def _require_columns(source: RowSource, roles: dict[str, str], needed: Sequence[str]) -> None:
    """What is `needed`, and whatever column was named otherwise than by default, must be there at all."""
    for role, name in roles.items():
        field = ColumnSettings.model_fields.get(role)
        named = field is not None and name != field.default
        if source.columns and name not in source.columns and (role in needed or named):
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
