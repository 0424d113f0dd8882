"""The command line. Nothing heavy is imported before a command needs it, so that help answers at once.

Exit codes: 0 done, 2 something the user can fix (said in one message, without a traceback), 130 interrupted.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mmupt import __version__
from mmupt.errors import DataError, MmuptError, RunFolderError

app = typer.Typer(
    help="Vision-language models that keep improving without labels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a value of the recipe, e.g. stages.upt.steps=20. Repeatable."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run where it stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the run folder of an earlier run first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the complete recipe and stop; nothing is written.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmupt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of mmupt itself."""


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe (see `recipes`) or a .toml file.")],
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Run a recipe, stage by stage."""
    _launch(recipe, sets or [], resume=resume, overwrite=overwrite, dry_run=dry_run)


@app.command()
def demo(
    seed: Annotated[int | None, typer.Option(help="Another seed than 0, for the run and for the world.")] = None,
    run_dir: Annotated[str | None, typer.Option(help="The run folder, instead of runs/demo.")] = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Run the shipped recipe `demo`: sft, rl and upt in an offline world, in minutes on a CPU."""
    from mmupt.recipe.overrides import assignment

    given = [assignment(key, seed) for key in ("seed", "world.seed")] if seed is not None else []
    given += [assignment("run_dir", run_dir)] if run_dir is not None else []
    overrides = [*given, *(sets or [])]
    _launch("demo", overrides, resume=resume, overwrite=overwrite, dry_run=dry_run, elsewhere="--run-dir DIR")


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Option(help="A local folder, a Hugging Face id or world:tiny.")],
    data: Annotated[str, typer.Option(help="A .jsonl or .parquet file, a folder, hub:ORG/NAME or world:SPLIT.")],
    samples: Annotated[int, typer.Option(help="Sampled answers per question, beside the greedy one.")] = 8,
    out: Annotated[str | None, typer.Option(help="The run folder, instead of runs/eval.")] = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Measure a model on a labelled data set."""
    from mmupt.recipe.overrides import assignment

    given = [
        assignment("model.path", model),
        assignment("data.path", data),
        assignment("evaluation.samples", samples),
    ]
    given += [assignment("run_dir", out)] if out is not None else []
    overrides = [*given, *(sets or [])]
    _launch("eval", overrides, resume=resume, overwrite=overwrite, dry_run=dry_run, elsewhere="--out DIR")


@app.command()
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


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmupt.recipe import shipped_recipes

    table = Table("name", "what it does", "stages", box=None, pad_edge=False)
    for shipped in shipped_recipes():
        table.add_row(Text(shipped.name), Text(shipped.description), Text(" > ".join(shipped.kinds)))
    Console().print(table)


def _launch(
    name_or_path: str,
    overrides: list[str],
    *,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    elsewhere: str = "--set run_dir=DIR",
) -> None:
    """Checks the recipe, and then prints it or runs it. `elsewhere` is the option that names another run folder."""
    from mmupt.recipe import dump_recipe, load_recipe
    from mmupt.runtime.layout import RunLayout

    if resume and overwrite:
        raise typer.BadParameter("--resume continues a run and --overwrite deletes it; give one of them")
    recipe = load_recipe(name_or_path, overrides)
    run_dir = Path(recipe.run_dir) if recipe.run_dir is not None else Path("runs") / recipe.name
    recipe = recipe.model_copy(update={"run_dir": str(run_dir)})
    if dry_run:
        typer.echo(dump_recipe(recipe), nl=False)
        return
    begun = RunLayout(run_dir).run
    if begun.exists() and not (resume or overwrite):
        raise RunFolderError(
            f"{run_dir}: already holds a run. Continue it with --resume, replace it with --overwrite, or start another "
            f"with {elsewhere}"
        )
    started = time.time()
    try:
        from mmupt.pipeline import run_recipe

        folder = run_recipe(recipe, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:
        # A run.json older than this command belongs to the run that was to be overwritten, not to this one.
        ours = begun.exists() and (resume or begun.stat().st_mtime >= started)
        what = "continue" if ours else "nothing was written yet, start again"
        _say(f"interrupted; {what} with: {_again(sys.argv[1:], resume=ours)}")
        raise typer.Exit(130) from None
    typer.echo(f"run folder: {folder}")


def _again(arguments: list[str], *, resume: bool) -> str:
    """The command that goes on from what `arguments` began, or else begins it again."""
    if resume:
        arguments = [argument for argument in arguments if argument not in ("--overwrite", "--resume")] + ["--resume"]
    return shlex.join(["mmupt", *arguments])


def _say(message: str) -> None:
    """To the terminal as it is: paths and values of the user are text, never markup."""
    print(message, file=sys.stderr, flush=True)


def main() -> NoReturn:
    """The entry point `mmupt`."""
    try:
        app(prog_name="mmupt")
    except MmuptError as error:
        _say(f"error: {error}")
        sys.exit(2)
    sys.exit(0)


if __name__ == "__main__":
    main()
