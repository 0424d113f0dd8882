"""`mmupt compare`: two runs, or two stages of one, question by question."""

from __future__ import annotations

from typing import Annotated

import typer


def compare(
    run_a: Annotated[
        str, typer.Argument(metavar="RUN_A", help="A run folder, or RUN:STAGE; the last stage otherwise.")
    ],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="What is compared with it, in the same way.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Compare two measured models: paired differences with intervals and p-values."""
    from mmupt.evals.compare import compare_runs
    from mmupt.evals.compare.table import COLUMNS, render
    from mmupt.runtime.files import to_json
    from mmupt.runtime.progress import Progress

    comparison = compare_runs(run_a, run_b)
    if as_json:
        typer.echo(to_json(comparison.as_json(), indent=2))
        return
    display = Progress()
    display.note(f"A  {comparison.a}")
    display.note(f"B  {comparison.b}")
    for table in render(comparison):
        display.note("")
        display.table(table.title, COLUMNS, table.rows)
        for note in table.notes:
            display.note(note)
    display.note("")
    for note in comparison.notes:
        display.note(note)
    display.note(
        f"Intervals: paired bootstrap over questions. p: sign-flip test, {comparison.resamples} resamples; p (Holm) is "
        "corrected for all tests shown."
    )
