"""Parquet files of the run folder: written whole or not at all, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmupt.errors import RunFolderError
from mmupt.runtime.files import replacing, well_formed
from mmupt.types import ImageSource

IMAGE = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
"""A picture: its path, or its bytes where it has none."""


def write_table(path: Path, rows: Sequence[dict[str, object]], schema: pa.Schema) -> None:
    """Writes the rows, atomically."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None, *, missing: str) -> list[dict[str, Any]]:
    """The rows, or some of their columns. Raises RunFolderError where the file is damaged, lacks a column, or is not
    there; then it says `missing`."""
    try:
        with pq.ParquetFile(path) as file:  # pq.read_table would turn a folder called `a=1` into a column
            if unknown := sorted(set(columns or ()) - set(file.schema_arrow.names)):
                raise RunFolderError(f"{path}: has no column {unknown[0]}; another version of mmupt wrote it")
            rows: list[dict[str, Any]] = file.read(columns=columns and list(columns)).to_pylist()
            return rows
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
