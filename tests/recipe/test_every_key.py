"""A wrong value for every key that a recipe can have, and a slip in every key's name: one message each, that names the
key, shows the value, says what would be right, and where there are choices lists them with the nearest."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from mmupt.errors import ConfigError
from mmupt.recipe import Recipe
from mmupt.recipe.kinds import STAGE_MODELS
from mmupt.recipe.loading import _validated
from mmupt.settings import Settings

Path = tuple[str, ...]


def tables(annotation: Any) -> Iterator[type[Settings]]:
    """The settings classes in a type, but for those inside lists."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for part in get_args(annotation):
            yield from tables(part)


def leaves(model: type[Settings], above: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every key below a table that is no table itself."""
    for key, field in model.model_fields.items():
        inner = next(tables(field.annotation), None)
        if inner is not None:
            yield from leaves(inner, (*above, key))
        else:
            yield (*above, key), field


def kinds(annotation: Any) -> set[Any]:
    """What a value may be: types, and words for a choice."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return set().union(*(kinds(part) for part in get_args(annotation)))
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    if origin is Literal:
        return set(get_args(annotation))
    return {origin or annotation}


def wrong(field: FieldInfo) -> tuple[Any, str, list[str]]:
    """A value of another kind than the field's, how a message shows it, and what the message must say besides."""
    allowed = kinds(field.annotation)
    words = sorted(word for word in allowed if isinstance(word, str))
    if words:
        slip = words[0][:-1] + "zz" if len(words[0]) > 3 else words[0] + "zz"
        near = ["did you mean"] if len(words[0]) > 3 else []
        return slip, f'"{slip}"', [*(f'"{word}"' for word in words), *near]
    if str in allowed:
        return 7, "7", ["must be text in quotes"]
    if tuple in allowed:
        return 7, "7", ["must be a list in brackets"]
    if allowed & {int, float, bool}:
        rule = "true or false" if bool in allowed else "a number" if float in allowed else "a whole number"
        return "much", '"much"', [f"must be {rule}"]
    raise AssertionError(f"a new kind of value, {field.annotation}: say what is wrong for it")


def document() -> dict[str, Any]:
    """The least that is a recipe, but for its stage."""
    return {"name": "small", "model": {"path": "world:tiny"}, "world": {}, "evaluation": {"data": {"path": "x.jsonl"}}}


def stage(kind: str) -> dict[str, Any]:
    sampled = {"steps": 1, "prompts_per_step": 8}
    least = {"rl": sampled, "upt": sampled, "pairs": {"prefer": "judge"}}
    data = {} if kind == "eval" else {"data": {"path": "x.jsonl"}}
    return {"kind": kind, "name": "it", **data, **least.get(kind, {})}


def put(table: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        table = table.setdefault(part, {})
    table[path[-1]] = value


def told(table: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    assert _validated(table, (), problems) is None, "a wrong value was taken"
    return problems


PLACES = [
    pytest.param(None, path, field, id=".".join(path))
    for path, field in leaves(Recipe)
    if path != ("stages",)
] + [
    pytest.param(kind, path, field, id=f"{kind}:{'.'.join(path)}")
    for kind, model in STAGE_MODELS.items()
    for path, field in leaves(model)
    if path not in {("kind",), ("name",)}  # without its name a stage is told by its number
]  # fmt: skip


def with_value(kind: str | None, path: Path, value: Any) -> dict[str, Any]:
    table = document()
    table["stages"] = [stage(kind or "sft")]
    if "judge" in path:
        table["evaluation"]["judge"] = {"url": "http://localhost/v1", "model": "m"}
    put(table if kind is None else table["stages"][0], path, value)
    return table


@pytest.mark.parametrize(("kind", "path", "field"), PLACES)
def test_a_wrong_value(kind: str | None, path: Path, field: FieldInfo) -> None:
    value, shown, said = wrong(field)
    (problem,) = told(with_value(kind, path, value))
    assert problem.split(": ")[0].endswith(".".join(path)) and shown in problem, problem
    for words in said:
        assert words in problem, problem


@pytest.mark.parametrize(("kind", "path", "field"), PLACES)
def test_a_slip_in_the_name(kind: str | None, path: Path, field: FieldInfo) -> None:
    slip = f"{path[-1]}x"
    (problem,) = told(with_value(kind, (*path[:-1], slip), "much"))
    assert f"{'.'.join((*path[:-1], slip))}: unknown key; did you mean" in problem, problem
    assert f"{path[-1]}`" in problem and "Known: " in problem, problem


def test_an_unknown_kind_of_stage() -> None:
    table = document() | {"stages": [{"kind": "uptt", "name": "it"}]}
    (problem,) = told(table)
    assert '"uptt"' in problem and 'did you mean "upt"?' in problem and '"sft"' in problem


def test_errors_are_told_all_at_once() -> None:
    table = document() | {"stages": [stage("upt") | {"steps": "many", "group": 3}]}
    table["model"]["dtype"] = "fp16"
    problems = told(table)
    assert len(problems) == 3
    with pytest.raises(ConfigError):
        raise ConfigError(problems)
