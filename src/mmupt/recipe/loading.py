"""A recipe: a TOML file that says what is trained on what, stage by stage, checked as a whole before anything loads.

>>> recipe = load_recipe("demo", ["seed=3", "stages.upt.steps=10", "optimizer.weight_decay=0.0"])
>>> recipe.seed, [stage.kind for stage in recipe.stages]
(3, ['sft', 'rl', 'upt'])
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, ValidationError, model_validator

from mmupt.errors import ConfigError
from mmupt.evals.settings import EvaluationSettings
from mmupt.models.settings import ModelSettings
from mmupt.recipe.overrides import apply_overrides, parse_overrides
from mmupt.recipe.problems import explain
from mmupt.recipe.sharing import idle_keys, merge_shared
from mmupt.settings import Settings
from mmupt.synth.settings import SynthStage
from mmupt.train.settings import NAME_PATTERN, NAME_RULE, EvalStage, GrpoStage, SftStage
from mmupt.world.settings import WorldSettings

RESERVED_NAMES = frozenset({"base", "evaluation"})
"""Stage names that results use for something else: the model before the first stage, and the rows it is measured on."""

Stage = Annotated[SftStage | GrpoStage | SynthStage | EvalStage, Field(discriminator="kind")]


class Recipe(Settings):
    """Everything about a run. Stages run in order, each from where the one before it left the model.

    `run_dir` is the run folder; the command line fills it in where the recipe names none.
    """

    name: str = Field(pattern=NAME_PATTERN, description=NAME_RULE)
    description: str = ""
    seed: int = Field(default=0, ge=0)
    run_dir: str | None = Field(default=None, min_length=1)
    model: ModelSettings
    world: WorldSettings = WorldSettings()
    evaluation: EvaluationSettings | None = None
    stages: tuple[Stage, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        stages = [(stage.name, stage.kind) for stage in self.stages]
        if problems := _misfits(stages, has_evaluation=self.evaluation is not None):
            raise ValueError("; ".join(problems))
        return self


@dataclass(frozen=True, slots=True)
class ShippedRecipe:
    """A line of `mmupt recipes`: what a recipe of the package says about itself, read without checking it."""

    name: str
    description: str
    kinds: tuple[str, ...]


def shipped_recipes() -> tuple[ShippedRecipe, ...]:
    """The recipes of the package by name. Some are complete only with a value from the command line."""
    found = []
    for file in sorted(resources.files("mmupt.recipes").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            kinds = tuple(stage["kind"] for stage in table["stages"])
            found.append(ShippedRecipe(file.name.removesuffix(".toml"), table["description"], kinds))
    return tuple(found)


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a `.toml` file, or a shipped one by its name, with `key=value` overrides applied.

    Raises ConfigError with every problem of file and overrides at once.
    """
    text, source = _read(name_or_path)
    parsed, problems = parse_overrides(overrides)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"not valid TOML: {error}", *problems], where=source) from None
    overridden, misplaced = apply_overrides(document, parsed)
    problems += [*misplaced, *idle_keys(document, overridden)]
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(merge_shared(document))
    except ValidationError as error:
        problems += explain(error, Recipe, document, overridden)
        problems += _misfits(_stage_names(document), has_evaluation=document.get("evaluation", "none") != "none")
    if recipe is None or problems:
        raise ConfigError(problems, where=source)
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every value written out; it loads to an equal recipe."""
    return tomli_w.dumps(_table(recipe))


def _table(settings: Settings) -> dict[str, Any]:
    """None is left out where it is the default and written "none" elsewhere (see Settings)."""
    table: dict[str, Any] = {}
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if value is None and field.default is None:
            continue
        table[key] = _written(value)
    return table


def _written(value: Any) -> Any:
    if isinstance(value, Settings):
        return _table(value)
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    return "none" if value is None else value


def _read(name_or_path: str) -> tuple[str, str]:
    """The text of a recipe, and how messages name it."""
    path = Path(name_or_path)
    if path.suffix != ".toml" and path.name == name_or_path:
        known = [file.name for file in shipped_recipes()]
        if name_or_path in known:
            file = resources.files("mmupt.recipes") / f"{name_or_path}.toml"
            return file.read_text(encoding="utf-8"), f'shipped recipe "{name_or_path}"'
        near = difflib.get_close_matches(name_or_path, known, n=1)
        guess = f"; did you mean `{near[0]}`?" if near else "."
        raise ConfigError(
            f'no shipped recipe "{name_or_path}"{guess} Shipped: {", ".join(known)}. A recipe of your own is named by '
            "its path, which ends in .toml"
        )
    try:
        return path.read_text(encoding="utf-8"), name_or_path
    except OSError as error:
        raise ConfigError(f"cannot read the recipe: {error.strerror}", where=name_or_path) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text at byte {error.start}; save it as UTF-8", where=name_or_path) from None


def _misfits(stages: Sequence[tuple[Any, Any]], *, has_evaluation: bool) -> list[str]:
    """What is wrong between the stages, given as (name, kind)."""
    names = [name for name, _ in stages]
    problems = [
        f'stages: {names.count(name)} stages are named "{name}"; give each its own name'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    taken = sorted(RESERVED_NAMES.intersection(names))
    problems += [f'stages: the name "{name}" is taken by mmupt; choose another' for name in taken]
    measured = [str(name) for name, kind in stages if kind == "eval"]
    if measured and not has_evaluation:
        problems.append(f"stages.{measured[0]}: an eval stage needs the table [evaluation], which says what to measure")
    return problems


def _stage_names(document: dict[str, Any]) -> list[tuple[Any, Any]]:
    """(name, kind) of the stages of an unchecked document, without those that have no proper name."""
    stages = document.get("stages")
    tables = [stage for stage in (stages if isinstance(stages, list) else ()) if isinstance(stage, dict)]
    return [(table["name"], table.get("kind")) for table in tables if isinstance(table.get("name"), str)]
