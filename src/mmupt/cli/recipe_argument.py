"""The argument RECIPE of every command that takes one, and what TAB makes of it."""

from __future__ import annotations

import glob
import os
from typing import Annotated

import typer


def recipes_like(incomplete: str) -> list[str]:
    """Shipped recipes and `.toml` files that begin so, and folders on the way to one."""
    from mmupt.recipe import shipped_recipes

    there = glob.glob(f"{glob.escape(incomplete)}*")
    files = [path for path in there if path.endswith(".toml")]
    folders = [os.path.join(path, "") for path in there if os.path.isdir(path)]
    return [recipe.name for recipe in shipped_recipes() if recipe.name.startswith(incomplete)] + sorted(files + folders)


RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A shipped recipe (see `recipes`) or a .toml file.", autocompletion=recipes_like
    ),
]
