"""`mmupt serve`: rollouts for a trainer on another machine."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmupt.cli.recipe_argument import recipes_like
from mmupt.cli.running import Sets
from mmupt.cli.terminal import say


def serve(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="The recipe that the trainer runs, with rollout.engine = server.",
            autocompletion=recipes_like,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on. Another than this machine's own lets others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8600,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where this machine finds what the trainer calls rollout.server.folder."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="The stage to serve, where they want different servers.")
    ] = None,
    sets: Sets = None,
) -> None:
    """Sample for a trainer elsewhere, which brings its weights. Runs until it is stopped.

    Trainer and server share a secret in the environment variable MMUPT_SERVER_TOKEN (docs/engines.md).
    """
    from mmupt.recipe import load_recipe
    from mmupt.serving import serve as start
    from mmupt.serving import served_rollouts

    loaded = load_recipe(recipe, sets or [])
    settings = served_rollouts(loaded, stage)
    what = f"{loaded.model.path} with the {settings.server.engine} engine"

    def ready(url: str) -> None:
        typer.echo(f"serving {what} at {url}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as an interruption: memory and files are given back
    try:
        start(loaded, settings, host=host, port=port, folder=folder, ready=ready)
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(130) from None
