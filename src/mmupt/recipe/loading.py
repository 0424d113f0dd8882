"""A recipe: a TOML file that says what is trained on what, stage by stage, checked as a whole before anything loads.

>>> recipe = load_recipe("demo", ["seed=3", "stages.upt.steps=10", "optimizer.weight_decay=0.0"])
>>> recipe.seed, [stage.kind for stage in recipe.stages]
(3, ['sft', 'rl', 'upt'])
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, ValidationError, model_validator

from mmupt.data.settings import MADE, ReadingStage
from mmupt.errors import ConfigError
from mmupt.evals.settings import EvaluationSettings
from mmupt.models.settings import ModelSettings
from mmupt.recipe.kinds import MAKES, READS, MakingStage
from mmupt.recipe.overrides import Key, apply_overrides, parse_overrides
from mmupt.recipe.problems import explain
from mmupt.recipe.rounds import LOOP, Looped, unroll
from mmupt.recipe.rounds import misplaced as misplaced_rounds
from mmupt.recipe.sharing import idle_keys, merge_shared
from mmupt.rewards.own.naming import locate
from mmupt.runtime.settings import ProcessSettings
from mmupt.runtime.sinks.settings import SinkSettings
from mmupt.settings import NAME_PATTERN, NAME_RULE, Settings
from mmupt.train.settings import EvalStage, GrpoStage, TrainingStage
from mmupt.world.settings import WorldSettings

RESERVED_NAMES = frozenset({"base", "evaluation"})
"""Stage names that results use for something else: the model before the first stage, and the rows it is measured on."""

Stage = Annotated[TrainingStage | MakingStage | EvalStage, Field(discriminator="kind")]


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
    processes: ProcessSettings = ProcessSettings()
    sinks: SinkSettings | None = None
    stages: tuple[Stage, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        if problems := _misfits(
            [_Place.of(stage) for stage in self.stages], has_evaluation=self.evaluation is not None
        ):
            raise ValueError("; ".join(problems))
        return self


@dataclass(frozen=True, slots=True)
class ShippedRecipe:
    """A line of `mmupt recipes`: what a recipe of the package says about itself, read without checking it. The name of
    one in a folder begins with the folder's: `paper/lmsi`."""

    name: str
    description: str
    kinds: tuple[str, ...]


def shipped_recipes() -> tuple[ShippedRecipe, ...]:
    """The recipes of the package by name. Some are complete only with a value from the command line."""
    found = []
    for name, file in sorted(_toml_files(resources.files("mmupt.recipes"), "")):
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        kinds = tuple(stage["kind"] for stage in table["stages"])
        found.append(ShippedRecipe(name, table["description"], kinds))
    return tuple(found)


def _toml_files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _toml_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".toml"):
            yield prefix + entry.name.removesuffix(".toml"), entry


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
    locate(document, Path(name_or_path).parent)  # before the overrides, whose paths are the command line's
    overridden, misplaced = apply_overrides(document, parsed)
    locate(document, Path())
    loop = document.pop(LOOP, None)
    overridden = [key for key in overridden if key[0] != LOOP]
    problems += [*misplaced, *idle_keys(document, overridden)]
    recipe = _validated(document, overridden, problems)
    if loop is not None:
        recipe = _repeated(loop, document, recipe, overridden, problems)
    if recipe is None or problems:
        raise ConfigError(problems, where=source)
    return recipe


def _validated(document: dict[str, Any], overridden: Sequence[Key], problems: list[str]) -> Recipe | None:
    """The recipe of the document, or None and what is wrong with it among the problems."""
    try:
        return Recipe.model_validate(merge_shared(document))
    except ValidationError as error:
        problems += explain(error, Recipe, document, overridden)
        problems += _misfits(_stage_tables(document), has_evaluation=document.get("evaluation", "none") != "none")
    return None


def _repeated(
    loop: object, document: dict[str, Any], once: Recipe | None, overridden: Sequence[Key], problems: list[str]
) -> Recipe | None:
    """The recipe with its `[loop]` written out. Faults are told of the stages as they were written, so only where these
    have none is anything repeated."""
    try:
        settings = Looped.model_validate({LOOP: loop}).loop
    except ValidationError as error:
        problems += explain(error, Looped, {LOOP: loop}, ())
        return None
    if once is None:
        return None
    if found := misplaced_rounds(settings, document):
        problems += found
        return None
    return _validated(unroll(settings, document), (), problems)


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
    if path.suffix != ".toml":
        known = [file.name for file in shipped_recipes()]
        if name_or_path in known:
            file = resources.files("mmupt.recipes").joinpath(*f"{name_or_path}.toml".split("/"))
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


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a stage what matters to the others: which one makes its rows, which one's guard it carries on."""

    name: str
    kind: str | None
    maker: str | None = None
    follows: str | None = None

    @staticmethod
    def of(stage: Stage) -> _Place:
        maker = stage.data.maker if isinstance(stage, ReadingStage) else None
        follows = stage.guard.follows if isinstance(stage, GrpoStage) else None
        return _Place(stage.name, stage.kind, maker, follows)

    @staticmethod
    def written(table: dict[str, Any]) -> _Place:
        """Of a stage that has not been checked, and may hold anything."""
        path, follows = _text_at(table, "data", "path"), _text_at(table, "guard", "follows")
        maker = path.removeprefix(MADE) if path is not None and path.startswith(MADE) else None
        return _Place(table["name"], _text_at(table, "kind"), maker, follows)


def _text_at(node: Any, *keys: str) -> str | None:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None


def _misfits(stages: Sequence[_Place], *, has_evaluation: bool) -> list[str]:
    """What is wrong between the stages."""
    names = [stage.name for stage in stages]
    problems = [
        f'stages: {names.count(name)} stages are named "{name}"; give each its own name'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    taken = sorted(RESERVED_NAMES.intersection(names))
    problems += [f'stages: the name "{name}" is taken by mmupt; choose another' for name in taken]
    measured = [stage.name for stage in stages if stage.kind == "eval"]
    if measured and not has_evaluation:
        problems.append(f"stages.{measured[0]}: an eval stage needs the table [evaluation], which says what to measure")
    for index, stage in enumerate(stages):
        earlier = {other.name: other.kind for other in stages[:index]}
        if stage.maker is not None and earlier.get(stage.maker) not in MAKES:
            makers = [name for name, kind in earlier.items() if kind in MAKES]
            problems.append(
                f'stages.{stage.name}.data.path: "{MADE}{stage.maker}" is no earlier stage that makes rows; '
                + (f"there is {', '.join(makers)}" if makers else f"such are of kind {', '.join(MAKES)}")
            )
        elif stage.maker is not None and stage.kind is not None:
            made, wanted = MAKES[str(earlier[stage.maker])], READS.get(stage.kind, ())
            if made not in wanted:
                problems.append(
                    f'stages.{stage.name}.data.path: stage "{stage.maker}" makes {made}, and kind "{stage.kind}" '
                    f"works with {' or '.join(wanted) or 'nothing that a stage makes'}"
                )
        if stage.follows is not None and earlier.get(stage.follows) != "upt":
            problems.append(
                f'stages.{stage.name}.guard.follows: "{stage.follows}" is no earlier stage of kind "upt"; name one'
            )
    return problems


def _stage_tables(document: dict[str, Any]) -> list[_Place]:
    """The stages of an unchecked document, without those that have no proper name."""
    stages = document.get("stages")
    tables = [stage for stage in (stages if isinstance(stages, list) else ()) if isinstance(stage, dict)]
    return [_Place.written(table) for table in tables if isinstance(table.get("name"), str)]
