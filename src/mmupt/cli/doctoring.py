"""`mmupt doctor`: what would go wrong, said before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmupt.cli.recipe_argument import recipes_like
from mmupt.cli.running import Sets

if TYPE_CHECKING:
    from mmupt.doctor.finding import Finding


def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="A shipped recipe or a .toml file; without one, the machine.",
            autocompletion=recipes_like,
        ),
    ] = None,
    sets: Sets = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 for warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check this machine, and a recipe with its data, and say what to fix.

    Exit code 2 where a run would stop, 0 where it would not, warnings or none.
    """
    from mmupt.doctor.examine import examine
    from mmupt.recipe import load_recipe
    from mmupt.runtime.files import to_json

    loaded = load_recipe(recipe, sets or []) if recipe is not None else None
    findings = examine(loaded)
    errors, warnings = (sum(f.level == level for f in findings) for level in ("error", "warning"))
    if as_json:
        told = {"recipe": loaded.name if loaded else None, "errors": errors, "warnings": warnings}
        typer.echo(to_json({**told, "findings": [f.as_json() for f in findings]}, indent=2))
    else:
        _show(findings, errors, warnings)
    if errors or (strict and warnings):
        raise typer.Exit(2)


def _show(findings: list[Finding], errors: int, warnings: int) -> None:
    from mmupt.runtime.progress import Progress

    display = Progress()
    for finding in findings:
        mark = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}[finding.level]
        display.note(f"{mark} {finding.check}: {finding.text}")
        if finding.fix is not None:
            display.note(f"          -> {finding.fix}")
    display.note("")
    if not errors and not warnings:
        display.note("nothing to fix")
    else:
        display.note(f"{errors} to fix before a run, {warnings} to think about")
