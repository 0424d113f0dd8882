"""Checkpoints that are whole or not there, and that are known to be undamaged before they are used.

A checkpoint is a folder: the model files (whatever `write` puts there), `state.json`, and `manifest.json` with size and
SHA-256 of every other file. It is made beside its place under the name `step-000020.tmp-PID` and renamed when all of it
is on the disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from mmupt.errors import RunFolderError
from mmupt.runtime.files import sync, writing
from mmupt.runtime.processes import ALONE, Processes
from mmupt.runtime.tensors import load_tensors, save_tensors

__all__ = [
    "begin_checkpoint",
    "latest_checkpoint",
    "load_state",
    "load_tensors",
    "prune",
    "save_checkpoint",
    "save_tensors",
    "verify_checkpoint",
]

_log = logging.getLogger(__name__)
_STEP = re.compile(r"step-(\d+)")
_MANIFEST, _STATE = "manifest.json", "state.json"


def save_checkpoint(
    folder: Path, write: Callable[[Path], None], state: dict[str, object], processes: Processes = ALONE
) -> None:
    """Makes the checkpoint `folder`, replacing an older one of that name.

    `write` is handed an empty folder to put files into, in each of the processes, the same one; `state` holds finite
    JSON values. A kill at any moment leaves either the older checkpoint or the new one. Raises RunFolderError where the
    disk refuses; the older one is then untouched.
    """
    processes.first(begin_checkpoint(folder, write, state, processes))


def begin_checkpoint(
    folder: Path, write: Callable[[Path], None], state: dict[str, object], processes: Processes = ALONE
) -> Callable[[], None]:
    """The first half of `save_checkpoint`: all files are written, beside the place. What is returned is the second, for
    the first process to call, perhaps later and in another thread: it hashes them, forces them to the disk and renames
    the folder. Nothing is there before that has ended."""
    temporary = Path(processes.first(lambda: str(folder.with_name(f"{folder.name}.tmp-{os.getpid()}"))))
    try:
        processes.first(lambda: _refused(folder, lambda: _empty(temporary)))
        processes.each(lambda: _refused(folder, lambda: write(temporary)))
        processes.first(lambda: _refused(folder, lambda: _write_state(temporary, state)))
    except BaseException:
        if processes.main:
            shutil.rmtree(temporary, ignore_errors=True)
        raise

    def seal() -> None:
        try:
            _refused(folder, lambda: _seal(temporary, folder))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    return seal


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write_state(folder: Path, state: dict[str, object]) -> None:
    (folder / _STATE).write_text(json.dumps(state, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _seal(temporary: Path, folder: Path) -> None:
    """What `temporary` holds is listed, forced to the disk, and takes its place."""
    files = {_name(file, temporary): _fingerprint(file) for file in _files(temporary)}
    (temporary / _MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")
    for path in (*temporary.rglob("*"), temporary):
        sync(path)
    put_in_place(temporary, folder)


def _refused(folder: Path, work: Callable[[], None]) -> None:
    with writing(folder, "the checkpoint"):
        work()


def load_state(folder: Path) -> dict[str, object]:
    """What `save_checkpoint` was given as `state`; the checkpoint is to be verified first."""
    return dict(json.loads((folder / _STATE).read_text(encoding="utf-8")))


def verify_checkpoint(folder: Path) -> None:
    """Raises RunFolderError, with the file, unless every file of the checkpoint is as it was written."""
    manifest = folder / _MANIFEST
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        files = {name: (entry["size"], entry["sha256"]) for name, entry in listed.items()}
    except FileNotFoundError:
        raise _damage(folder, f"{_MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damage(folder, f"{_MANIFEST} cannot be read ({error})") from error
    if _STATE not in files:
        raise _damage(folder, f"{_MANIFEST} does not list {_STATE}")
    for name, (size, sha256) in files.items():
        file = folder / name
        if not file.is_file():
            raise _damage(folder, f"{name} is missing")
        found = _fingerprint(file)
        if found["size"] != size:
            raise _damage(folder, f"{name} has another size than was written")
        if found["sha256"] != sha256:
            raise _damage(folder, f"{name} has other content than was written")


def latest_checkpoint(parent: Path) -> Path | None:
    """The newest checkpoint in `parent` that verifies, or None. A damaged one is skipped with a logged warning.

    Also clears away what a killed process left behind, so only the holder of the run folder may call it.
    """
    _tidy(parent)
    for folder in reversed(_checkpoints(parent)):
        try:
            verify_checkpoint(folder)
        except RunFolderError as error:
            _log.warning("%s It is skipped.", error)
        else:
            return folder
    return None


def prune(parent: Path, keep_last: int, *, keep: Collection[int] = ()) -> None:
    """Removes all but the `keep_last` newest checkpoints of `parent` and those of the steps in `keep`. Raises
    ValueError for less than one."""
    if keep_last < 1:
        raise ValueError(f"keep_last must be at least 1, not {keep_last}")
    kept = {f"step-{step:06d}" for step in keep}
    for folder in (folder for folder in _checkpoints(parent)[:-keep_last] if folder.name not in kept):
        doomed = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
        folder.rename(doomed)  # so that a kill leaves no checkpoint with half of its files
        shutil.rmtree(doomed)


def put_in_place(temporary: Path, folder: Path) -> None:
    """Renames `temporary` to `folder`, which is replaced if it is there. That cannot be done in one step: the older one
    waits under `.old-PID`, and comes back where the rename fails (among checkpoints also, by `_tidy`, where the process
    dies in between)."""
    older = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    if folder.exists():
        shutil.rmtree(older, ignore_errors=True)
        folder.rename(older)
    try:
        temporary.rename(folder)
    except OSError:
        if older.exists():
            older.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(older, ignore_errors=True)


def _tidy(parent: Path) -> None:
    for path in list(parent.glob("*.old-*")):
        place = path.with_name(path.name.rpartition(".old-")[0])
        if place.exists():
            shutil.rmtree(path)
        else:
            path.rename(place)
    for path in parent.glob("*.tmp-*"):
        shutil.rmtree(path)


def _checkpoints(parent: Path) -> list[Path]:
    """Oldest first; steps are compared as numbers."""
    found = [(int(match[1]), path) for path in parent.glob("step-*") if (match := _STEP.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _fingerprint(file: Path) -> dict[str, object]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"size": file.stat().st_size, "sha256": digest}


def _damage(folder: Path, what: str) -> RunFolderError:
    return RunFolderError(f"{folder}: damaged checkpoint, {what}; remove this folder to go on from an older one.")
