"""One verdict a line: written as it comes, in place once all of them are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmupt.errors import DataError
from mmupt.offline.rows import STDIN
from mmupt.runtime.files import replacing, to_json

Record = Mapping[str, object]


def check_out(out: Path, *, file: str, overwrite: bool) -> None:
    """Raises `DataError` where `out` must not be written: it is the input, no file, or there and `overwrite` is off."""
    if file != STDIN and out.exists() and os.path.samefile(out, Path(file).expanduser()):
        raise DataError(f"--out {out}: is the file that is read; choose another name")
    if str(out) == STDIN or (out.exists() and not out.is_file()):
        raise DataError(f"--out {out}: is no regular file; give the path of a .jsonl file")
    if out.exists() and not overwrite:
        raise DataError(f"--out {out}: exists already; choose another name, or replace it with --overwrite")


def write_records(records: Iterable[Record], out: Path | None) -> None:
    """Writes a line of JSON for each record, creating missing folders; with None the records are only gone through.

    They go straight into a temporary file, which takes the place of `out` when all are written. Raises `DataError`
    where the disk refuses; what the records themselves raise passes through.
    """
    if out is None:
        for _ in records:
            pass
        return
    try:
        with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as lines:
            for record in records:
                lines.write(to_json(record) + "\n")
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written ({error}); choose another place") from error
