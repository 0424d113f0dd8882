"""A run in one TOML file, checked as a whole before anything loads."""

from mmupt.recipe.loading import RESERVED_NAMES, Recipe, dump_recipe, load_recipe, shipped_recipes

__all__ = ["RESERVED_NAMES", "Recipe", "dump_recipe", "load_recipe", "shipped_recipes"]
