"""Pictures without questions, for a stage that writes some: a folder of pictures, or rows of which pictures are wanted.

A picture nobody has asked anything about is a `Prompt` whose question is its placeholder alone, `<image>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmupt.data.columns import PLACEHOLDER, RowProblem, prompt_columns, read_pictures, read_prompt, read_text
from mmupt.data.dataset import DataSet, load_rows
from mmupt.data.images import PICTURE_SUFFIXES
from mmupt.data.readers import SUFFIXES, read_rows
from mmupt.data.rows import RawRow, RowSource
from mmupt.data.settings import ColumnSettings, DataSettings
from mmupt.errors import DataError
from mmupt.types import Prompt


def load_pictures(settings: DataSettings) -> DataSet[Prompt]:
    """Every row of a source that has a picture, with its question or, where it has none, `<image>` for each picture.
    No label is read.

    Beside what `load_prompts` reads, `settings.path` may be a folder of pictures (PNG, JPEG, WebP, ..., in
    folders below it too) that holds no data file: each picture is a row, called by its path in the folder. Raises
    DataError like `load_prompts`; a row without a picture is a bad row.
    """
    columns = settings.columns
    roles = prompt_columns(columns)
    folder = Path(settings.path).expanduser()
    alone = is_picture_folder(folder)
    source = _picture_rows(folder, settings) if alone else read_rows(settings, roles.values())

    def parse(row: RawRow) -> Prompt:
        return _read(row, settings, stem=source.stem, folder=source.folder)

    if columns.question == ColumnSettings.model_fields["question"].default:
        roles = {role: column for role, column in roles.items() if role != "question"}  # then it may be missing
    return load_rows(settings, source, roles, parse, lambda prompt: prompt)


def is_picture_folder(folder: Path) -> bool:
    """Whether a folder holds pictures and no data file."""
    if not folder.is_dir() or any(file.suffix.lower() in SUFFIXES for file in folder.iterdir()):
        return False
    return next(_pictures_below(folder), None) is not None


def is_bare(prompt: Prompt) -> bool:
    """Whether a prompt is pictures alone."""
    return not prompt.question.replace(PLACEHOLDER, "").strip()


def _read(row: RawRow, settings: DataSettings, *, stem: str, folder: Path) -> Prompt:
    columns = settings.columns
    question = read_text(row.values.get(columns.question), columns.question)
    if question is not None and question.replace(PLACEHOLDER, "").strip():
        prompt = read_prompt(row, columns, settings.placeholders, stem=stem, folder=folder)
    else:
        images = read_pictures(row, columns, folder)
        name = read_text(row.values.get(columns.id), columns.id)
        prompt = Prompt(name or f"{stem}-{row.number}", PLACEHOLDER * len(images), images)
    if not prompt.images:
        raise RowProblem(columns.images, "the row has no picture, and a question is to be written about one; add it")
    return prompt


def _picture_rows(folder: Path, settings: DataSettings) -> RowSource:
    columns = settings.columns

    def read(source: RowSource) -> Iterator[RawRow]:
        for number, file in enumerate(sorted(_pictures_below(folder), key=lambda file: file.as_posix()), 1):
            name = file.relative_to(folder).as_posix()
            yield RawRow(number, str(file), {columns.id: name, columns.images: [name]})

    return RowSource(str(folder), folder.resolve().name, folder.absolute(), read, settings.limit)


def _pictures_below(folder: Path) -> Iterator[Path]:
    """Hidden files and folders are left alone. Raises DataError where a folder cannot be read."""
    try:
        for file in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            if not hidden and file.suffix.lower() in PICTURE_SUFFIXES and file.is_file():
                yield file
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error}); check its permissions") from error
