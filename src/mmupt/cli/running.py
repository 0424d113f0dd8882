"""`mmupt run` and `mmupt demo`, and how every command that runs a recipe launches it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmupt.cli.terminal import say
from mmupt.cli.together import together
from mmupt.errors import RunFolderError
from mmupt.runtime.launch import launched
from mmupt.runtime.stopping import EXIT_CODE, Stopped, stopping_on_sigterm

if TYPE_CHECKING:
    from mmupt.recipe import Recipe
    from mmupt.runtime.processes import Processes

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a value of the recipe, e.g. stages.upt.steps=20. Repeatable."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run where it stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the run folder of an earlier run first.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="Plain lines on a terminal too; so does MMUPT_PLAIN=1.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the complete recipe and stop; nothing is written.")]


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe (see `recipes`) or a .toml file.")],
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    plain: Plain = False,
) -> None:
    """Run a recipe, stage by stage."""
    _show_plainly(plain)
    launch(recipe, sets or [], resume=resume, overwrite=overwrite, dry_run=dry_run)


def demo(
    seed: Annotated[int | None, typer.Option(help="Another seed than 0, for the run and for the world.")] = None,
    run_dir: Annotated[str | None, typer.Option(help="The run folder, instead of runs/demo.")] = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    plain: Plain = False,
) -> None:
    """Run the shipped recipe `demo`: sft, rl and upt in an offline world, in minutes on a CPU."""
    from mmupt.recipe.overrides import assignment

    _show_plainly(plain)
    given = [assignment(key, seed) for key in ("seed", "world.seed")] if seed is not None else []
    given += [assignment("run_dir", run_dir)] if run_dir is not None else []
    overrides = [*given, *(sets or [])]
    launch("demo", overrides, resume=resume, overwrite=overwrite, dry_run=dry_run, elsewhere="--run-dir DIR")


def launch(
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
    several = launched(os.environ)
    if dry_run:
        if several is None or several.rank == 0:
            typer.echo(dump_recipe(recipe), nl=False)
        return
    begun = RunLayout(run_dir).run

    def vacant() -> None:
        if begun.exists() and not (resume or overwrite):
            raise RunFolderError(
                f"{run_dir}: already holds a run. Continue it with --resume, replace it with --overwrite, or start "
                f"another with {elsewhere}"
            )

    if several is None:
        vacant()
        _run(recipe, begun, resume=resume, overwrite=overwrite)
    else:
        with together(several, recipe) as processes:
            processes.first(vacant)
            _run(recipe, begun, resume=resume, overwrite=overwrite, processes=processes)


def _run(recipe: Recipe, begun: Path, *, resume: bool, overwrite: bool, processes: Processes | None = None) -> None:
    """`processes` where there are several."""
    together: Any = {} if processes is None else {"processes": processes}
    main = processes is None or processes.main
    started = time.time()
    try:
        from mmupt.pipeline import run_recipe

        with stopping_on_sigterm(main=main) as stopping:
            folder = run_recipe(recipe, resume=resume, overwrite=overwrite, stopping=stopping, **together)
    except (KeyboardInterrupt, Stopped) as ended:
        # A run.json older than this command belongs to the run that was to be overwritten, not to this one.
        ours = begun.exists() and (resume or begun.stat().st_mtime >= started)
        what = "continue" if ours else "nothing was written yet, start again"
        if main:
            how = "with" if processes is None else "under torchrun with"
            word = "stopped by SIGTERM" if isinstance(ended, Stopped) else "interrupted"
            say(f"{word}; {what} {how}: {_again(sys.argv[1:], resume=ours)}")
        raise typer.Exit(EXIT_CODE if isinstance(ended, Stopped) else 130) from None
    if main:
        typer.echo(f"run folder: {folder}")


def _show_plainly(wanted: bool) -> None:
    if wanted:
        os.environ["MMUPT_PLAIN"] = "1"  # read by runtime.progress, which cannot be imported before it is needed


def _again(arguments: list[str], *, resume: bool) -> str:
    """The command that goes on from what `arguments` began, or else begins it again."""
    if resume:
        arguments = [argument for argument in arguments if argument not in ("--overwrite", "--resume")] + ["--resume"]
    return shlex.join(["mmupt", *arguments])
