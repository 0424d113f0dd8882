"""`mmupt plan`: what a recipe would take on GPUs, calculated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from mmupt.cli.answers import one_of
from mmupt.cli.recipe_argument import RecipeArgument
from mmupt.cli.running import Sets
from mmupt.errors import ConfigError

if TYPE_CHECKING:
    from mmupt.plan.planner import Plan


def plan(
    recipe: RecipeArgument,
    gpu: Annotated[str, typer.Option(metavar="NAME", help="H100, H200, A100-80, ...; a wrong name lists them.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="How many, all nodes together.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes, instead of --gpus.")] = None,
    gpus_per_node: Annotated[int, typer.Option(min=1, help="GPUs that a fast link joins.")] = 8,
    model_config: Annotated[
        str | None,
        typer.Option(metavar="PATH_OR_ID", help="A config.json, a folder or an id, instead of the recipe's model."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="replica|sharded",
            help="What several processes hold: a whole model each, or shards alone. [processes.layout]",
        ),
    ] = None,
    tensor_parallel: Annotated[
        int | None, typer.Option(min=1, help="Cards of a vLLM, instead of rollout.vllm.tensor_parallel.")
    ] = None,
    offload: Annotated[
        bool, typer.Option("--offload", help="Shards and moments in main memory, as processes.cpu_offload says.")
    ] = False,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean length of a prompt, pictures included. [prompt.max_tokens]")
    ] = None,
    response_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean length of a response. [rollout.max_new_tokens]")
    ] = None,
    picture_pixels: Annotated[
        int | None, typer.Option(min=1, help="Mean area of a picture. [prompt.max_pixels]")
    ] = None,
    rows: Annotated[
        list[str] | None, typer.Option(metavar="STAGE=N", help="How many rows a stage has. Repeatable.")
    ] = None,
    mfu: Annotated[
        float | None, typer.Option(help="Model FLOP utilisation of forward and backward; as --assume mfu=...")
    ] = None,
    assumed: Annotated[
        list[str] | None, typer.Option("--assume", metavar="KEY=VALUE", help="Any assumption that a plan prints.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    sets: Sets = None,
) -> None:
    """Calculate what a recipe would take on GPUs: memory, time of each phase, cost, what limits it, what would help.

    Lengths are the recipe's limits unless a mean is given; memory is always that of the longest. Nothing is loaded and
    nothing measured.
    """
    from mmupt.plan.architecture import read_architecture
    from mmupt.plan.assumptions import assume
    from mmupt.plan.gpus import make_cluster
    from mmupt.plan.planner import plan_recipe
    from mmupt.plan.table import as_json as plan_json
    from mmupt.plan.workload import Given
    from mmupt.recipe import load_recipe
    from mmupt.runtime.files import to_json
    from mmupt.runtime.settings import Layout

    loaded = load_recipe(recipe, sets or [])
    cluster = make_cluster(gpu, gpus, nodes, gpus_per_node)
    assumptions = assume([*([f"mfu={mfu}"] if mfu is not None else []), *(assumed or [])])
    chosen = one_of("--layout", layout or loaded.processes.layout, get_args(Layout))
    counts = _rows(rows or [], [stage.name for stage in loaded.stages])
    revision = loaded.model.revision if model_config is None else None
    path = model_config or loaded.model.path
    made = plan_recipe(
        loaded,
        read_architecture(path, revision, loaded.world),
        path,
        cluster,
        layout=chosen,
        assumptions=assumptions,
        tensor_parallel=tensor_parallel,
        offload=offload or loaded.processes.cpu_offload,
        given=Given(prompt_tokens, response_tokens, picture_pixels, counts),
    )
    if as_json:
        typer.echo(to_json(plan_json(made), indent=2))
    else:
        _show(made)


def _show(made: Plan) -> None:
    from mmupt.plan.table import assumption_lines, foot, head, memory_table, stage_foot, stage_head, time_table
    from mmupt.runtime.progress import Progress

    display = Progress()
    for line in head(made):
        display.note(line)
    for stage in made.stages:
        display.note("")
        for line in stage_head(stage):
            display.note(line)
        for table in (memory_table(stage), time_table(stage)):
            display.note("")
            display.table(table.title, list(table.columns), [list(row) for row in table.rows])
        display.note("")
        for line in stage_foot(stage):
            display.note(line)
    display.note("")
    for line in (*foot(made), *assumption_lines(made.setting.assumptions)):
        display.note(line)


def _rows(given: list[str], stages: list[str]) -> dict[str, int]:
    counts, problems = {}, []
    for text in given:
        stage, _, count = text.partition("=")
        if stage not in stages:
            problems.append(f'--rows "{text}": no stage is called "{stage}"; there is {", ".join(stages)}')
        elif not count.isdecimal() or int(count) < 1:
            problems.append(f'--rows "{text}": give STAGE=N with a whole number above 0')
        else:
            counts[stage] = int(count)
    if problems:
        raise ConfigError(problems)
    return counts
