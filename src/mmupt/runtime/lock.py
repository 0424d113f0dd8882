"""One process a folder: a lock that the system itself takes back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from mmupt.errors import RunFolderError

_held: set[int] = set()


def _forget_in_child() -> None:
    """A forked child (a data worker) shares its parent's descriptors; were it to keep this one open, the folder would
    stay locked after the parent's death. Closing a copy does not unlock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FolderLock:
    """Holds the file `lock` of `folder` until `release`, or until the process is gone.

    The file's text, "PID HOST", only serves the message to the next one who tries; the lock is the system's (`flock`).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._descriptor: int | None = _take(self.path, folder)
        _held.add(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the folder back; a second call does nothing. The file stays: removing it would race with the next."""
        if self._descriptor is None:
            return
        if self._descriptor in _held:  # not in a forked child, which has closed its copy
            _held.discard(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
        self._descriptor = None


def _take(path: Path, folder: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A creation that failed removes its lock file; holding a file that is no longer there would hold nothing.
            if path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 400, 0).decode("utf-8", "replace").split()
            os.close(descriptor)
            who = f"process {holder[0]} on {holder[1]}" if len(holder) == 2 else "another process"
            raise RunFolderError(
                f"{folder}: run folder in use by {who}; wait until it ends, stop it, or choose another folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise RunFolderError(
                f"{path}: cannot be locked ({error.strerror}); put the run folder on a file system that supports flock"
            ) from error
        os.close(descriptor)
