"""The command line. Nothing heavy is imported before a command needs it, so that help answers at once.

Exit codes: 0 done, 2 something the user can fix (said in one message, without a traceback), 130 interrupted, 143
stopped by SIGTERM (docs/how-to/shell.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from mmupt import __version__
from mmupt.cli.answers import grade, vote
from mmupt.cli.comparing import compare
from mmupt.cli.doctoring import doctor
from mmupt.cli.evaluating import evaluate
from mmupt.cli.exporting import export
from mmupt.cli.lists import benchmarks, recipes, world
from mmupt.cli.planning import plan
from mmupt.cli.probing import probe
from mmupt.cli.profiling import profile
from mmupt.cli.reporting import report
from mmupt.cli.reproducing import reproduce
from mmupt.cli.running import demo, run
from mmupt.cli.serving import serve
from mmupt.cli.synthesizing import synth
from mmupt.cli.terminal import say
from mmupt.cli.watching import watch
from mmupt.errors import MmuptError
from mmupt.runtime.launch import launched

app = typer.Typer(
    help="Vision-language models that keep improving without labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "demo": demo,
    "doctor": doctor,
    "probe": probe,
    "plan": plan,
    "profile": profile,
    "synth": synth,
    "serve": serve,
    "eval": evaluate,
    "compare": compare,
    "export": export,
    "reproduce": reproduce,
    "grade": grade,
    "vote": vote,
    "watch": watch,
    "report": report,
    "recipes": recipes,
    "benchmarks": benchmarks,
    "world": world,
}
_IN_MANY = ("run", "demo")
"""The commands that torchrun may start."""
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmupt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of mmupt itself."""
    if context.invoked_subcommand not in _IN_MANY and launched(os.environ) is not None:
        raise MmuptError(
            f"`mmupt {context.invoked_subcommand}` runs in one process; start it without torchrun. In many run: "
            f"{', '.join(_IN_MANY)}"
        )


def main() -> NoReturn:
    """The entry point `mmupt`."""
    try:
        app(prog_name="mmupt")
    except MmuptError as error:
        say(f"error: {error}")
        sys.exit(2)
    sys.exit(0)
