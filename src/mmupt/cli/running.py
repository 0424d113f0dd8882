"""`mmupt run` and `mmupt demo`, and how every command that runs a recipe launches it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmupt.cli.recipe_argument import RecipeArgument
from mmupt.cli.terminal import say
from mmupt.cli.together import together
from mmupt.errors import RunFolderError
from mmupt.runtime.launch import launched
from mmupt.runtime.stopping import EXIT_CODE, Stopped, stopping_on_sigterm

if TYPE_CHECKING:
    from mmupt.launching.ray import Cluster
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
_OnRay = "On a Ray cluster"


def run(
    recipe: RecipeArgument,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    plain: Plain = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help='Run on a Ray cluster: "auto", HOST:PORT, or "local" for one on this machine.',
            rich_help_panel=_OnRay,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --ray: how many workers.", rich_help_panel=_OnRay)
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            metavar="K", min=0, help="With --ray: begin again so often after a lost worker (3).", rich_help_panel=_OnRay
        ),
    ] = None,
    gpus_per_worker: Annotated[
        int | None,
        typer.Option(
            metavar="G",
            min=0,
            max=1,
            help="With --ray: 0 or 1 (1 where the cluster has GPUs, unless the recipe says cpu).",
            rich_help_panel=_OnRay,
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int | None,
        typer.Option(metavar="C", min=1, help="With --ray: CPU cores for each worker (1).", rich_help_panel=_OnRay),
    ] = None,
) -> None:
    """Run a recipe, stage by stage."""
    _show_plainly(plain)
    cluster = _cluster(ray, workers, max_failures, gpus_per_worker, cpus_per_worker)
    launch(recipe, sets or [], resume=resume, overwrite=overwrite, dry_run=dry_run, cluster=cluster)


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
    cluster: Cluster | None = None,
) -> None:
    """Checks the recipe, and then prints it or runs it, on a `cluster` where one is given. `elsewhere` is the option
    that names another run folder."""
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
        _run(recipe, begun, resume=resume, overwrite=overwrite, cluster=cluster)
    elif cluster is not None:
        raise typer.BadParameter("--ray starts processes itself; start mmupt without torchrun")
    else:
        with together(several, recipe) as processes:
            processes.first(vacant)
            _run(recipe, begun, resume=resume, overwrite=overwrite, processes=processes)


def _run(
    recipe: Recipe,
    begun: Path,
    *,
    resume: bool,
    overwrite: bool,
    processes: Processes | None = None,
    cluster: Cluster | None = None,
) -> None:
    """`processes` where there are several."""
    together: Any = {} if processes is None else {"processes": processes}
    main = processes is None or processes.main
    started = time.time()
    try:
        with stopping_on_sigterm(main=main) as stopping:
            if cluster is None:
                from mmupt.pipeline import run_recipe

                folder = run_recipe(recipe, resume=resume, overwrite=overwrite, stopping=stopping, **together)
            else:
                folder = _run_on_ray(recipe, cluster, resume=resume, overwrite=overwrite)
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


def _cluster(ray: str | None, workers: int | None, failures: int | None, gpus: int | None, cpus: int | None) -> Any:
    """The Cluster that the options name, or None without any; checked before the recipe is."""
    if ray is None:
        given = {"workers": workers, "max-failures": failures, "gpus-per-worker": gpus, "cpus-per-worker": cpus}
        for name, value in given.items():
            if value is not None:
                raise typer.BadParameter(f"--{name} belongs to --ray ADDRESS")
        return None
    if workers is None:
        raise typer.BadParameter("--ray needs --workers N, the number of processes of the run")
    from mmupt.launching.ray import Cluster, require_ray

    require_ray()
    given = {"max_failures": failures, "cpus": cpus}
    return Cluster(ray, workers, gpus=gpus, **{name: value for name, value in given.items() if value is not None})


def _run_on_ray(recipe: Recipe, cluster: Cluster, *, resume: bool, overwrite: bool) -> Path:
    from mmupt.launching.ray import LostRun, run_on_ray

    try:
        return run_on_ray(recipe, cluster, resume=resume, overwrite=overwrite)
    except LostRun as error:
        again = _again(sys.argv[1:], resume=True)
        say(f"error: {error}\nThe last checkpoint stands. When the cause is mended, go on with: {again}")
        raise typer.Exit(1) from None


def _show_plainly(wanted: bool) -> None:
    if wanted:
        os.environ["MMUPT_PLAIN"] = "1"  # read by runtime.progress, which cannot be imported before it is needed


def _again(arguments: list[str], *, resume: bool) -> str:
    """The command that goes on from what `arguments` began, or else begins it again."""
    if resume:
        arguments = [argument for argument in arguments if argument not in ("--overwrite", "--resume")] + ["--resume"]
    return shlex.join(["mmupt", *arguments])
