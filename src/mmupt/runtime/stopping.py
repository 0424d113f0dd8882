"""Ending a run well when somebody wants its machine back: SIGTERM, which schedulers send some time before they kill.

    with stopping_on_sigterm(main=True) as stopping:
        ...
        stopping.wait()                      # from here on a SIGTERM is only remembered
        for step in range(steps):
            ...
            if stopping.wanted(processes):   # behind the step: all processes find the same
                save(...)
                raise Stopped
        stopping.ends_here(processes)        # raises Stopped where one came; from here on one ends the run at once

Where nothing would be lost (rows that are made and measurements keep their parts) a SIGTERM raises Stopped at once.
A second one is left to the system, which ends the process. Imports no torch.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmupt.runtime.processes import Processes

EXIT_CODE = 128 + signal.SIGTERM
"""143: what a shell says of a process that SIGTERM has ended."""


class Stopped(BaseException):
    """The run was asked to end and has: what is on the disk is whole. Like KeyboardInterrupt no error, so that nothing
    that handles errors takes it for one."""


class Stopping:
    """Whether somebody wants this run to end. One that nobody connects to a signal is never asked."""

    def __init__(self, *, main: bool = True) -> None:
        """`main` in the process that leads: outside of training it alone ends the run at once, and takes the others
        with it. They remember that they were asked, until all talk to each other again."""
        self.asked = False
        self._main, self._waits = main, False

    def ask(self) -> None:
        """What a SIGTERM does. Raises Stopped where nothing has to be waited for."""
        self.asked = True
        if self._main and not self._waits:
            raise Stopped

    def wait(self) -> None:
        """What follows is brought to an end first."""
        self._waits = True

    def wanted(self, processes: Processes) -> bool:
        """Whether any of the processes was asked to end. Collective; in one process nothing but a look."""
        return any(processes.gather(self.asked))

    def ends_here(self, processes: Processes) -> None:
        """Nothing has to be waited for any more. Raises Stopped, in all processes, where one was asked. Collective."""
        self._waits = False
        if self.wanted(processes):
            raise Stopped


@contextmanager
def stopping_on_sigterm(*, main: bool = True) -> Iterator[Stopping]:
    """For the main thread of a program: the first SIGTERM asks for an end, a second one does what it did before."""
    stopping = Stopping(main=main)

    def asked(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        stopping.ask()

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGTERM, before)
