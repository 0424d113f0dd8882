"""Parquet files of the run folder: written whole or not at all, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmupt.errors import RunFolderError
from mmupt.runtime.files import replacing, well_formed, writing
from mmupt.types import ImageSource

IMAGE = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
"""A picture: its path, or its bytes where it has none."""


def write_table(path: Path, rows: Sequence[dict[str, object]], schema: pa.Schema) -> None:
    """Writes the rows, atomically. Raises RunFolderError where the disk refuses."""
    with writing(path), replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), temporary, compression="zstd")


def read_table(
    path: Path, columns: Sequence[str] | None, *, missing: str, added: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows, or some of their columns. `added` names columns that older versions did not write, with the value that
    stands for all of theirs. Raises RunFolderError where the file is damaged, lacks a column, or is not there; then it
    says `missing`."""
    try:
        with pq.ParquetFile(path) as file:  # pq.read_table would turn a folder called `a=1` into a column
            there = set(file.schema_arrow.names)
            absent = {name: value for name, value in (added or {}).items() if name not in there}
            if unknown := sorted(set(columns or ()) - there - absent.keys()):
                raise RunFolderError(f"{path}: has no column {unknown[0]}; another version of mmupt wrote it")
            if columns is not None:
                absent = {name: value for name, value in absent.items() if name in columns}
                columns = [name for name in columns if name not in absent]
            return [row | absent for row in file.read(columns=columns).to_pylist()]
    except FileNotFoundError:
        raise RunFolderError(f"{path}: {missing}") from None
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); it is damaged") from error


def image_value(image: ImageSource) -> dict[str, object]:
    """A picture as a value of type `IMAGE`."""
    return {"path": text_value(image.path), "bytes": image.data if image.path is None else None}


def text_value(text: str | None) -> str | None:
    """Text as UTF-8 can hold it: lone surrogates become U+FFFD."""
    return None if text is None else well_formed(text)
