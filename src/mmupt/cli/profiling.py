"""`mmupt profile`: where the time of a recipe's steps goes, and which settings would change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmupt.cli.recipe_argument import RecipeArgument
from mmupt.cli.running import Sets
from mmupt.cli.terminal import say

if TYPE_CHECKING:
    from mmupt.profiling import StageProfile


def profile(
    recipe: RecipeArgument,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="The training stage, instead of the last rl or upt stage.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps to run; the first of several is warm-up.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object and nothing else.")] = (
        False
    ),
    sets: Sets = None,
) -> None:
    """Run a few steps of a recipe and say where their time goes.

    Nothing is kept. The steps begin from the recipe's start model, whose responses may be longer or shorter than those
    of a model that has gone through the stages before; --set model.path=DIR profiles another one.
    """
    from mmupt.profiling import choose_training_stage, profile_stage
    from mmupt.recipe import load_recipe
    from mmupt.runtime.files import to_json

    loaded = load_recipe(recipe, sets or [])
    chosen = choose_training_stage(loaded, stage)
    try:
        found = profile_stage(loaded, chosen, steps)
    except KeyboardInterrupt:
        say("interrupted; nothing is left behind")
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(to_json({"recipe": loaded.name, **found.as_json()}, indent=2))
    else:
        _show(found)


def _show(found: StageProfile) -> None:
    from mmupt.report.profile import ADVICE, in_percent, in_units, in_whole
    from mmupt.runtime.progress import Progress

    display, profile = Progress(), found.profile
    steps = f"{profile.steps} step{'s' if profile.steps > 1 else ''}"
    warm_up = "the one before them to warm up" if found.warm_up else "warming up included"
    rows = [
        [
            cost.phase,
            f"{cost.seconds:.3f}",
            f"{100 * cost.share:.1f} %",
            in_whole(cost.tokens or None),
            in_whole(cost.tokens_per_second),
            in_percent(cost.floor_fraction),
        ]
        for cost in profile.phases
    ]
    columns = ["phase", "seconds", "share", "tokens", "tokens/s", "of its FLOP floor"]
    display.note("")
    display.table(f"{found.stage.name}: a step, mean of {steps}, {warm_up}", columns, rows)
    display.note("")
    speed = f", {in_whole(profile.tokens_per_second)} tokens a second" if profile.tokens_per_second else ""
    display.note(f"a step: {profile.seconds:.3g} s{speed}")
    if profile.floor_fraction is not None and profile.ceiling is not None:
        display.note(
            f"FLOP floor: {in_percent(profile.floor_fraction)} (100 % would be perfect): at best its arithmetic takes "
            f"{profile.floor_fraction * profile.seconds:.3g} s, at the {in_units(profile.ceiling, 'FLOP/s')} that this "
            "device multiplies matrices at"
        )
    if profile.peak_memory is not None:
        gpu = f", {in_units(profile.peak_cuda_memory, 'B')} on the GPU" if profile.peak_cuda_memory else ""
        display.note(f"peak memory: {in_units(profile.peak_memory, 'B')}{gpu}")
    display.note(f"largest costs: {profile.largest_named}")
    for cost in profile.largest:
        display.note(f"  {cost.phase}: {ADVICE[cost.phase]}")
    display.note(
        f"These are steps of {found.model}, the model the recipe starts from. A trained one may answer longer or "
        "shorter; --set model.path=DIR profiles another."
    )
