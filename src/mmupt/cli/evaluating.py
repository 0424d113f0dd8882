"""`mmupt eval`: a model measured on a data set or on benchmarks."""

from __future__ import annotations

from typing import Annotated

import typer

from mmupt.cli.running import DryRun, Overwrite, Resume, Sets, launch


def evaluate(
    model: Annotated[str, typer.Option(help="A local folder, a Hugging Face id or world:tiny.")],
    data: Annotated[
        str | None, typer.Option(help="A .jsonl or .parquet file, a folder, hub:ORG/NAME or world:SPLIT.")
    ] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option(
            help="Instead of --data: names from `mmupt benchmarks`, with commas; NAME=PATH reads a local copy."
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--k", "--samples", help="Sampled answers per question, beside the greedy one. [8]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="The first questions of every benchmark only.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible endpoint whose model judges every answer as well."),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="The model to ask there, where the endpoint serves several.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="The run folder, instead of runs/eval or runs/benchmarks.")] = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Measure a model on a labelled data set or on benchmarks."""
    from mmupt.recipe.overrides import assignment

    if (data is None) == (benchmarks is None):
        raise typer.BadParameter("give either --data or --benchmarks")
    if judge is None and judge_model is not None:
        raise typer.BadParameter("--judge-model belongs to --judge URL")
    names = None if benchmarks is None else [name.strip() for name in benchmarks.split(",") if name.strip()]
    given = {
        "model.path": model,
        "data.path": data,
        "evaluation.benchmarks": names,
        "evaluation.limit": limit,
        "evaluation.samples": samples,
        "evaluation.judge.url": judge,
        "evaluation.judge.model": judge_model,
        "run_dir": out,
    }
    overrides = [assignment(key, value) for key, value in given.items() if value is not None] + (sets or [])
    recipe = "eval" if benchmarks is None else "benchmarks"
    launch(recipe, overrides, resume=resume, overwrite=overwrite, dry_run=dry_run, elsewhere="--out DIR")
