"""From a path to raw rows: JSONL, Parquet, a folder with one of them a split, the Hugging Face hub.

A reader is told which columns are wanted and hands out no others: a label-free stage does not ask for the labels, so
they never leave this file. Rows are counted from 1; the row number of a JSONL file is its line number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mmupt.data.images import PICTURE_SUFFIXES
from mmupt.data.rows import RawRow, RowSource
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError

SUFFIXES = (".jsonl", ".parquet")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: "C:" is a drive


def read_rows(settings: DataSettings, wanted: Collection[str]) -> RowSource:
    """The rows of `settings.path`, the first `limit` of them, with no column that is not in `wanted`.

    Raises `DataError` when there is nothing at the path, when the file cannot be read, or when the path has a scheme
    other than `hub:`. (`world:SPLIT` belongs to the offline world, which writes or makes its rows a floor above.)
    """
    scheme = _SCHEME.match(settings.path)
    if scheme and scheme[1] == "hub":
        from mmupt.data.hub import hub_rows

        return hub_rows(settings, frozenset(wanted))
    if scheme:
        raise DataError(
            f'data.path "{settings.path}": nothing reads "{scheme[1]}:" here; give a {" or ".join(SUFFIXES)} file, a '
            "folder with one of them for each split, or hub:ORG/NAME"
        )
    return read_file(_file_of(settings), wanted, limit=settings.limit)


def read_file(path: Path, wanted: Collection[str], *, limit: int | None = None) -> RowSource:
    """The rows of one `.jsonl` or `.parquet` file that exists, with no column that is not in `wanted`. Iterating
    raises `DataError` when the file cannot be read."""
    read = _jsonl if path.suffix.lower() == ".jsonl" else _parquet
    names = frozenset(wanted)
    return RowSource(
        label=str(path),
        stem=path.stem,
        folder=path.absolute().parent,
        read=lambda source: read(path, names, source),
        limit=limit,
    )


def read_lines(lines: Iterable[bytes], wanted: Collection[str], *, label: str) -> RowSource:
    """The rows of JSON lines that come from no file (standard input); messages and ids name them by `label`."""
    names = frozenset(wanted)
    return RowSource(label, label, Path.cwd(), lambda source: _json_rows(lines, names, source))


def _file_of(settings: DataSettings) -> Path:
    path = Path(settings.path).expanduser()
    if not path.exists():
        raise DataError(f'data.path "{settings.path}" does not exist; check it (a hub data set is hub:ORG/NAME)')
    if path.is_dir():
        found = [file for suffix in SUFFIXES if (file := path / f"{settings.split}{suffix}").is_file()]
        if len(found) > 1:
            both = " and ".join(file.name for file in found)
            raise DataError(f'data.path "{settings.path}" holds both {both}; name one of them')
        if not found:
            raise DataError(
                f'data.path "{settings.path}" holds no {" or ".join(settings.split + s for s in SUFFIXES)}; '
                + _instead(path)
            )
        path = found[0]
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f'data.path "{settings.path}" is no {" or ".join(SUFFIXES)} file; convert it to one of them')
    return path


def _instead(folder: Path) -> str:
    """What a folder without the wanted split does hold, and what to make of it."""
    suffixes = {file.name: file.suffix.lower() for file in folder.iterdir()}
    if splits := sorted(name for name, suffix in suffixes.items() if suffix in SUFFIXES):
        return f"it holds {', '.join(splits)}: set data.split"
    if any(suffix in PICTURE_SUFFIXES for suffix in suffixes.values()):
        return "it holds pictures without questions: `mmupt synth` can write some about them"
    return "it holds no data file at all"


def _jsonl(path: Path, wanted: frozenset[str], source: RowSource) -> Iterator[RawRow]:
    try:
        with path.open("rb") as lines:  # bytes: only "\n" ends a line, while text may hold other separators
            yield from _json_rows(lines, wanted, source)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the file and its permissions") from error


def _json_rows(lines: Iterable[bytes], wanted: frozenset[str], source: RowSource) -> Iterator[RawRow]:
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield _json_row(line, number, wanted, source)


def _json_row(line: bytes, number: int, wanted: frozenset[str], source: RowSource) -> RawRow:
    where = source.where(number)
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return RawRow(number, where, problem=f"the line is not UTF-8 ({error.reason}); save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        return RawRow(number, where, problem=f"the line is not JSON ({error}); write one object a line")
    if not isinstance(values, dict):
        return RawRow(number, where, problem=f"the line holds a {type(values).__name__}; write one object a line")
    source.columns.update(values)
    return RawRow(number, where, {name: value for name, value in values.items() if name in wanted})


def _parquet(path: Path, wanted: frozenset[str], source: RowSource) -> Iterator[RawRow]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            source.columns.update(file.schema_arrow.names)
            names = [name for name in file.schema_arrow.names if name in wanted]
            number = 0
            # The columns are named, so the others are not even read from disk.
            for batch in file.iter_batches(batch_size=256, columns=names):
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(number, source.where(number), values)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); write or download it again") from error
