"""`mmupt watch`: a page that follows a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmupt.cli.terminal import say


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run may be going on or over.")],
    port: Annotated[
        int | None, typer.Option(help="The port of the page on this machine; 8484, or another free one, unless told.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser, only say where the page is.")] = False,
) -> None:
    """Follow a run in the browser: curves, guard, results, and every group with its vote. Reads the run folder only."""
    import webbrowser

    from mmupt.errors import ConfigError
    from mmupt.watch import WatchServer
    from mmupt.watch.server import PORT

    try:
        server = WatchServer(run, PORT if port is None else port)
    except ConfigError:
        if port is not None:
            raise
        server = WatchServer(run)
    with server:
        typer.echo(f"{run}: {server.url}  (Ctrl-C ends this page, not the run)")
        if not no_open and not webbrowser.open(server.url):
            say("no browser could be opened; open the address above")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("")
