"""A folder that is whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mmupt.errors import ModelError
from mmupt.runtime.checkpoints import put_in_place
from mmupt.runtime.files import sync

MARK = "mmupt_export.json"
"""The file that every exported folder has: only such a folder is ever replaced."""


def check_out(out: Path, *, overwrite: bool) -> None:
    """ModelError unless `out` may be written: it is absent or empty, or an earlier export that `overwrite` gives up."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MARK).is_file():
        raise ModelError(
            f"{out}: exists and is no folder that mmupt has exported (it holds no {MARK}), so it is never replaced; "
            "choose another folder"
        )
    if not overwrite:
        raise ModelError(
            f"{out}: already holds an exported model; replace it with --overwrite, or choose another folder"
        )


def check_room(out: Path, needed: int) -> None:
    """ModelError where the disk of `out` has fewer than `needed` bytes left."""
    place = next(folder for folder in out.resolve().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ModelError(
            f"{out}: {needed / 1e9:.2f} GB are needed there and {free / 1e9:.2f} GB are free; free some, or choose "
            "another disk"
        )


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty folder beside `out`; once the block has filled it and ended well, it takes the place of `out`.
    After an error it is gone and `out` is as it was. ModelError where the disk refuses."""
    temporary = out.with_name(f"{out.name}.tmp-{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        put_in_place(temporary, out)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{out}: the model cannot be written ({_reason(error)}); nothing was left there") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: OSError | SafetensorError) -> str:
    full = getattr(error, "errno", None) == errno.ENOSPC or f"os error {errno.ENOSPC}" in str(error)
    if full:
        return "the disk is full; free space, or choose another disk"
    return str(getattr(error, "strerror", None) or error)
