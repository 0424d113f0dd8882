"""Files that are whole or not there: written beside their place, forced to disk, then renamed into it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mmupt.errors import RunFolderError

_TEMPORARY = ".tmp-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; once the block has written it and ended well, it takes the
    place of `path` in one step. After an error the temporary file is gone and `path` is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def writing(path: Path, what: str = "") -> Iterator[None]:
    """Around whatever writes `path`. Where the disk refuses, RunFolderError says what (the file, or `what` it is), why,
    how much room is left, and what to do."""
    try:
        yield
    except Exception as error:
        if (reason := refusal(error)) is None:
            raise
        subject = f"{what} cannot be written" if what else "cannot be written"
        raise RunFolderError(f"{path}: {subject} ({reason}; {_room(path)}); free space, then resume the run") from error


def refusal(error: Exception) -> str | None:
    """Why the system has not written what it was to write; None where `error` says something else. The safetensors
    library tells it in words, and Arrow adds words of its own."""
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else str(error)
    told = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return os.strerror(int(told[1])) if told else None


def _room(path: Path) -> str:
    """What is free where `path` lies."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.3g} GB free there"


def remove_temporaries(folder: Path) -> None:
    """Removes what killed processes left of `replacing` anywhere below `folder`; only for who holds its lock."""
    for path in folder.rglob(f".*{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, atomically. Raises RunFolderError where the disk refuses."""
    with writing(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Writes `value` as indented JSON (see `to_json`), atomically. Raises RunFolderError where the disk refuses."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Strict JSON in ASCII. JSON has no NaN and no infinities: they become the strings "nan", "inf" and "-inf"."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def sync(path: Path) -> None:
    """Forces a file's or a folder's content from the system's memory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def well_formed(text: str) -> str:
    """`text` with each lone surrogate, which UTF-8 cannot hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
