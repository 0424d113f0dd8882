"""`mmupt reproduce`: the paper's tables in the offline world."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmupt.cli.terminal import say

if TYPE_CHECKING:
    from mmupt.reproduce.making import Plan


def reproduce(
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="N", help="1 to 6, figure2 or loop; repeatable. All of them otherwise."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the runs that the tables rest on.")] = 3,
    other_seeds: Annotated[int, typer.Option(min=0, help="Seeds of every other run.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, on one thread each.")] = 2,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where the run folders go.")] = Path("runs/reproduce"),
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The page; its figures are kept beside it, as FILE.json.")
    ] = Path("docs/results.md"),
    page_only: Annotated[bool, typer.Option("--page-only", help="Run nothing: the page of what is kept.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try runs again that have failed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be run; nothing is written.")] = False,
) -> None:
    """Reproduce the paper's tables in the offline world, on CPUs, and write a page with its own numbers beside them.

    What has been made before is not made again, and an interrupted call goes on. The recipes are `mini/...`; those of
    the real models are `paper/...`.
    """
    from mmupt.reproduce.claims import curves_of
    from mmupt.reproduce.kept import Kept
    from mmupt.reproduce.making import Maker
    from mmupt.reproduce.page import PICTURE, page, write_page
    from mmupt.reproduce.runs import cases
    from mmupt.reproduce.tables import CHOICES, FIGURE_RUN, runs_of

    chosen = tables or list(CHOICES)
    if unknown := [name for name in chosen if name not in CHOICES]:
        raise typer.BadParameter(
            f"there is no table {unknown[0]}; choose of {', '.join(CHOICES)}", param_hint="--table"
        )
    kept = Kept.read(out.with_suffix(".json"))
    maker = Maker(runs, kept, jobs, say)
    names = dict.fromkeys(name for key in chosen for name in runs_of(key))
    plan = maker.plan(cases(names, seeds, other_seeds), retry=retry)
    if dry_run:
        _tell(plan, jobs)
        return
    if not page_only:
        try:
            maker.make(plan.todo)
        except KeyboardInterrupt:
            say(f"interrupted; continue with: {shlex.join(['mmupt', *sys.argv[1:]])}")
            raise typer.Exit(130) from None
    curves = curves_of(kept, FIGURE_RUN)
    if curves:
        from mmupt.reproduce.figure import draw

        draw(curves, out.parent / PICTURE)
    write_page(out, page(kept, drawn=bool(curves)))
    typer.echo(f"page: {out}")


def _tell(plan: Plan, jobs: int) -> None:
    for case in plan.todo:
        start = "" if case.start is None else f"  from {case.start.key}"
        typer.echo(f"{case.key}  {case.run.recipe}  {' '.join(case.sets)}{start}")
    for case in plan.failed:
        typer.echo(f"{case.key}  has failed before; --retry tries it again")
    typer.echo(
        f"{len(plan.todo)} runs to make, {len(plan.there)} are there, {len(plan.failed)} have failed; about "
        f"{plan.minutes / jobs / 60:.1f} hours with {jobs} at a time on as many idle cores (a guess)"
    )
