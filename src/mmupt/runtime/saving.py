"""Finishing a checkpoint while the next step runs: never more than one at a time, and none forgotten.

with Saving(background=True) as saving:
    seal = begin_checkpoint(...)     # its files are written, from weights that may change from here on
    saving.start(seal)               # hashed, forced to the disk and renamed meanwhile
    ...
    saving.look()                    # raises what went wrong, once it has
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Saving:
    """What is to be done behind a checkpoint's last byte; at once, or in a `background` thread."""

    def __init__(self, *, background: bool = False) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint") if background else None
        self._begun: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Does `work`, once what was begun before is done. Raises what that has raised."""
        self.wait()
        if self._thread is None:
            work()
        else:
            self._begun = self._thread.submit(work)

    def look(self) -> None:
        """Raises what has gone wrong so far; waits for nothing."""
        if self._begun is not None and self._begun.done():
            self.wait()

    def wait(self) -> None:
        """Until nothing is in flight. Raises what has gone wrong."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits. An error that has ended the run keeps its say; an interruption does not hide one."""
        try:
            self.wait()
        except Exception:
            if not isinstance(error, Exception):
                raise
        finally:
            if self._thread is not None:
                self._thread.shutdown()
