"""Processes that torchrun has started begin and end as one: whatever goes wrong is said once, and ends them all."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from mmupt.cli.terminal import say
from mmupt.errors import MmuptError
from mmupt.runtime.launch import Launch

if TYPE_CHECKING:
    from mmupt.recipe import Recipe
    from mmupt.runtime.processes import Processes


@contextmanager
def together(launch: Launch, recipe: Recipe) -> Iterator[Processes]:
    """Inside, the processes know each other. An error ends this process here and now, with the exit code that the
    command has elsewhere: others may be waiting for it inside a collective, and torchrun or the broken connection ends
    them. The first to fail says why, with its rank; those that fail because of it say nothing."""
    from mmupt.runtime.processes import Ranks

    settings = recipe.processes
    processes = Ranks(launch, device_name=recipe.model.device, timeout_minutes=settings.timeout_minutes)
    try:
        yield processes
    except BaseException as error:
        tells = processes.end(error)
        if isinstance(error, typer.Exit):
            code = error.exit_code
        elif isinstance(error, MmuptError):
            code = 2
            if tells:
                say(f"error: {error}" if error.agreed else f"error: rank {launch.rank}: {error}")
        else:
            code = 1
            if tells:
                say(f"rank {launch.rank}:\n{traceback.format_exc()}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    processes.end(None)
