"""`mmupt report`: what a run did, on one page or as text for a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run may be going on or over.")],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for a model card, and write nothing.")
    ] = False,
) -> None:
    """Write report.html into a run folder anew, or print the run as Markdown."""
    if markdown:
        from mmupt.report.markdown import markdown_report

        typer.echo(markdown_report(run), nl=False)
        return
    from mmupt.report.report import write_report

    typer.echo(f"report: {write_report(run)}")
