"""`mmupt recipes`, `mmupt benchmarks` and `mmupt world`: what the package brings along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmupt.errors import DataError


def recipes() -> None:
    """List the shipped recipes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmupt.recipe import shipped_recipes

    table = Table("name", "what it does, and its stages", box=None, pad_edge=False)
    for shipped in shipped_recipes():
        stages = Text(" > ".join(shipped.kinds), style="dim")
        table.add_row(Text(shipped.name), Text.assemble(shipped.description, "\n", stages))
    Console().print(table)


def benchmarks() -> None:
    """List the benchmarks that `mmupt eval --benchmarks` knows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmupt.evals.benchmarks import BENCHMARKS

    table = Table("name", "title", "where its rows are", "broken down by", "own scores", box=None, pad_edge=False)
    for benchmark in BENCHMARKS.values():
        own = [rule.name for rule in benchmark.rules] + (["a metric of its own"] if benchmark.metric else [])
        hub = benchmark.data.path.startswith("hub:")
        source = f"{benchmark.data.path} ({benchmark.data.split})" if hub else f"{benchmark.name}=PATH"
        table.add_row(
            *map(Text, [benchmark.name, benchmark.title, source, ", ".join(benchmark.breakdowns), ", ".join(own)])
        )
    Console().print(table)


def world(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
    size: Annotated[int | None, typer.Option(min=1, help="Rows of every split, instead of the defaults.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the pictures.")] = 0,
) -> None:
    """Write the offline world to disk: a .jsonl file a split, pictures beside it."""
    from mmupt.world.export import write_world
    from mmupt.world.settings import WorldSettings

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder; choose a new or an empty one")
    settings = WorldSettings(seed=seed)
    if size is not None:
        settings = WorldSettings(seed=seed, sft_size=size, rl_size=size, unlabeled_size=size, test_size=size)
    write_world(settings, folder)
    typer.echo(f"written: {folder}")
