"""`mmupt synth`: questions about pictures, written by a model, as a data set."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmupt.cli.running import DryRun, Sets
from mmupt.cli.terminal import say

if TYPE_CHECKING:
    from mmupt.synth.report import SynthReport


def synth(
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="A shipped recipe or a .toml file with a stage of kind synth.")
    ] = "synth",
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="The stage, instead of the last synth stage.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A local folder, a Hugging Face id or world:tiny.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder of pictures, a .jsonl or .parquet file, a folder of splits, hub:ORG/NAME, world:SPLIT."
        ),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="The new data set, instead of synth/RECIPE.")] = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where an earlier call stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete what an earlier call wrote first.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object and nothing else.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Let a model write questions about pictures, and keep those that it can almost answer.

    The questions lie in DIR as a data set that an upt stage reads (--set data.path=DIR); DIR/page.html shows all that
    was written, and why some of it was dropped.
    """
    from mmupt.recipe import dump_recipe, load_recipe
    from mmupt.recipe.overrides import assignment
    from mmupt.runtime.files import to_json
    from mmupt.synthesis import choose_synth_stage, run_synth_stage

    if resume and overwrite:
        raise typer.BadParameter("--resume continues and --overwrite deletes; give one of them")
    given = {"model.path": model, "data.path": data}
    loaded = load_recipe(recipe, [*(assignment(k, v) for k, v in given.items() if v is not None), *(sets or [])])
    chosen = choose_synth_stage(loaded, stage)
    if dry_run:
        typer.echo(dump_recipe(loaded.model_copy(update={"stages": (chosen,)})), nl=False)
        return
    folder = Path(out) if out is not None else Path("synth") / loaded.name
    try:
        report = run_synth_stage(loaded, chosen, folder, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:
        again = [argument for argument in sys.argv[1:] if argument not in ("--overwrite", "--resume")]
        say(f"interrupted; continue with: {shlex.join(['mmupt', *again, '--resume'])}")
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(to_json(report.as_json(), indent=2))
    else:
        _show(report, folder)


def _show(report: SynthReport, folder: Path) -> None:
    from mmupt.runtime.progress import Progress
    from mmupt.synth.filters import MEANING

    display = Progress()
    rows = [["kept", report.kept, f"{report.kept / report.written:.1%}", f"mean majority share {report.share:.0%}"]]
    rows += [
        [reason.replace("_", " "), count, f"{count / report.written:.1%}", MEANING[reason]]
        for reason, count in report.reasons
    ]
    display.table(f"{report.stage}: {report.written} questions written", ["", "questions", "share", "because"], rows)
    for why, count in report.passed_over.items():
        display.note(f"nothing was asked {count} times: {why}")
    display.note(f"about {report.with_questions} of {report.subjects} pictures; to look at: {folder / 'page.html'}")
    display.note(f"data set: {folder}")
    display.note(f"next: mmupt probe RECIPE --set data.path={shlex.quote(str(folder))}, then mmupt run with the same")
