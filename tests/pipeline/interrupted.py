"""A `mmupt` to which something happens inside a function, in a process of its own.

    python interrupted.py MODULE NAME CALL WHAT ARGUMENTS...

Before the call number CALL (from 1) of the function NAME: `term` or `term twice` sends SIGTERM, `kill` SIGKILL, and
`full:N` makes the system refuse every byte of a file behind its first N, as a full disk would.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import subprocess
import sys
from typing import Any


def happen(what: str) -> None:
    kind, _, more = what.partition(":")
    if kind == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(more), resource.RLIM_INFINITY))
        return
    for _ in range(2 if what == "term twice" else 1):
        os.kill(os.getpid(), signal.SIGKILL if kind == "kill" else signal.SIGTERM)


def main() -> None:
    module, name, number, what, *arguments = sys.argv[1:]
    *owner, name = name.split(".")
    place: Any = importlib.import_module(module)
    for part in owner:
        place = getattr(place, part)
    whole, calls = getattr(place, name), []

    def interrupted(*given: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == int(number):
            happen(what)
        return whole(*given, **named)

    setattr(place, name, interrupted)
    import mmupt.cli

    sys.argv = ["mmupt", *arguments]
    mmupt.cli.main()


def started(arguments: list[str], module: str, name: str, call: int, what: str) -> tuple[int, str]:
    """The exit code of such a `mmupt`, and what it said."""
    done = subprocess.run(
        [sys.executable, __file__, module, name, str(call), what, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "400"},
        timeout=200,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    main()
