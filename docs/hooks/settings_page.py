"""The page that says what a recipe may hold: every table and key, from the settings classes themselves.

Nothing is written here that the classes do not say: keys, types, defaults and bounds are those of pydantic, the prose
is their docstrings, the notes are the descriptions of fields or the comments behind them. So the page is never stale.
"""

from __future__ import annotations

import inspect
import io
import json
import re
import textwrap
import tokenize
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mmupt.evals.settings import EvaluationSettings
from mmupt.recipe.kinds import STAGE_MODELS
from mmupt.recipe.loading import Recipe
from mmupt.recipe.rounds import LoopSettings
from mmupt.recipe.sharing import SHARED
from mmupt.settings import Settings

INTRODUCTION = """\
# Configuration

Every table and key of a recipe. This page is made from the settings classes whenever the site is built.

- `mmupt run NAME --dry-run` prints a recipe with every default written out; `--set KEY=VALUE` changes any value of it.
- An unknown key, a value of the wrong type or out of bounds is an error; all are told at once, before anything loads.
- TOML has no null: where "none" is among the values, the word stands for it.
- **Shared tables.** What stages have in common may stand at the top of a recipe (`[data]`, `[prompt]`, `[optimizer]`,
  ..., and single keys such as `micro_batch_tokens`): it is merged into every stage that has such a table or key, and
  a stage's own values win. `[evaluation]` takes `[data]`, `[prompt]` and `[answers]` in the same way.
"""

_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "min_length": "at least {} long"}
_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


@dataclass(slots=True)
class Table:
    """A settings class with the places in a recipe where its keys stand; `stages` are the kinds that have it."""

    model: type[Settings]
    places: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    title: str = ""
    anchor: str = ""

    def stand_in(self, place: str, stage: str | None) -> None:
        if place not in self.places:
            self.places.append(place)
        if stage is not None and stage not in self.stages:
            self.stages.append(stage)


def settings_page() -> str:
    """The page in Markdown."""
    tables = collect()
    lines = [INTRODUCTION]
    lines += ["## The top of a recipe { #recipe }", "", _prose(Recipe), "", *_keys(Recipe, tables)]
    for table in tables.values():
        lines += [f"## {table.title} {{ #{table.anchor} }}", "", _where(table), "", _prose(table.model), ""]
        lines += _keys(table.model, tables)
    lines += ["## Stages { #stages }", "", "Each `[[stages]]` table has a `kind`, a `name` and what its kind has.", ""]
    for model, kinds in _stage_models().items():
        names = ", ".join(f'`kind = "{kind}"`' for kind in kinds)
        lines += [f"### {names} {{ #{kinds[0]} }}", "", _prose(model), "", *_keys(model, tables)]
    return "\n".join(lines)


def collect() -> dict[type[Settings], Table]:
    """Every settings class that is a table of a recipe, in the order in which one meets them."""
    tables: dict[type[Settings], Table] = {}
    _visit(Recipe, "", None, tables)
    for kind, model in STAGE_MODELS.items():
        _visit(model, "", kind, tables)
    tables.setdefault(LoopSettings, Table(LoopSettings)).stand_in("loop", None)
    evaluation = tables.pop(EvaluationSettings)  # behind the tables that it shares with stages
    judge = [model for model, table in tables.items() if all(p.startswith("evaluation.") for p in table.places)]
    tables |= {EvaluationSettings: evaluation, **{model: tables.pop(model) for model in judge}}
    tables[LoopSettings] = tables.pop(LoopSettings)
    taken: dict[str, int] = {}
    for table in tables.values():
        place = next((place for place in table.places if not place.startswith("evaluation.")), table.places[0])
        taken[place] = taken.get(place, 0) + 1
        also = taken[place] > 1  # another class under the same name, for other kinds of stages
        table.title = f"`[{place}]`" + (f" of {_listed(table.stages)}" if also else "")
        table.anchor = place.replace(".", "-") + (f"-{taken[place]}" if also else "")
    return tables


def _visit(model: type[Settings], prefix: str, stage: str | None, tables: dict[type[Settings], Table]) -> None:
    for key, info in model.model_fields.items():
        inner = inner_settings(info)
        if inner is None:
            continue
        place = f"{prefix}{key}"
        tables.setdefault(inner, Table(inner)).stand_in(place, stage)
        _visit(inner, f"{place}.", stage, tables)


def inner_settings(info: FieldInfo) -> type[Settings] | None:
    """The class of a key that is a table, a table or "none", or a list of tables; None for every other key, and for
    the stages, whose class depends on their kind."""
    for part in _parts(info.annotation):
        for kind in (part, *(get_args(part) if get_origin(part) is tuple else ())):
            if inspect.isclass(kind) and issubclass(kind, Settings):
                return kind
    return None


def _stage_models() -> dict[type[Settings], list[str]]:
    kinds: dict[type[Settings], list[str]] = {}
    for kind, model in STAGE_MODELS.items():
        kinds.setdefault(model, []).append(kind)
    return kinds


def _where(table: Table) -> str:
    """Where the table may be written, and which stages have it."""
    shared = [place for place in table.places if place.split(".")[0] in SHARED]
    measured = [place for place in table.places if place.startswith("evaluation.")]
    places = [place for place in table.places if place not in measured]
    places += [f"stages.{place}" for place in shared] + measured
    text = "Written as " + ", ".join(f"`[{place}]`" for place in places)
    return text + (f"; for stages of kind {_listed(table.stages)}." if table.stages else ".")


def _listed(kinds: list[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds)


def _prose(model: type[Settings]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _keys(model: type[Settings], tables: dict[type[Settings], Table]) -> list[str]:
    comments = _comments(model)
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for key, info in model.model_fields.items():
        inner, note = inner_settings(info), info.description or comments.get(key, "")
        if key == "stages" and model is Recipe:
            value, default = "list of tables, [see below](#stages)", "needed"
        elif inner is not None:
            table = tables[inner]
            several = any(get_origin(part) is tuple for part in _parts(info.annotation))
            value = f"{'list of tables' if several else 'table'} [{table.title}](#{table.anchor})"
            value += ' or "none"' if type(None) in get_args(info.annotation) else ""
            default = _default(info) if several or info.default is None else ("needed" if info.is_required() else "")
        else:
            value, default = _value(info), _default(info)
        lines.append(f"| `{key}` | {value} | {default} | {_cell(note)} |")
    return [*lines, ""]


def _value(info: FieldInfo) -> str:
    """The type of a key with its choices and bounds."""
    parts = [_type(part) for part in _parts(info.annotation)]
    bounds = []
    for rule in info.metadata:
        # A Field of several rules holds them as one object with the attributes of all.
        bounds += [text.format(getattr(rule, name)) for name, text in _BOUNDS.items() if hasattr(rule, name)]
    return " or ".join(parts) + (f", {', '.join(bounds)}" if bounds else "")


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, nested ones too; of anything else, itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(part for member in get_args(annotation) for part in _parts(member))
    return (annotation,)


def _type(kind: Any) -> str:
    if kind is type(None):
        return '"none"'
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in _choices(kind))
    if get_origin(kind) is tuple:
        items = [item for item in get_args(kind) if item is not Ellipsis]
        if Ellipsis in get_args(kind):
            return f"list of {_type(items[0])}"
        return f"[{', '.join(_type(item) for item in items)}]"
    return _TYPES[kind]


def _choices(kind: Any) -> Iterator[Any]:
    for choice in get_args(kind):
        yield from _choices(choice) if get_origin(choice) is Literal else (choice,)


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default is PydanticUndefined:
        return "needed"
    return _cell(f"`{_toml(info.default)}`")


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _cell(text: str) -> str:
    """Text that may stand in a table: outside of code a pipe would end its cell, and angle brackets would be HTML."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [part if part.startswith("`") else re.sub(r"<(\w+)>", r"`<\1>`", part) for part in parts]
    return "".join(part if part.startswith("`") else part.replace("|", "&#124;") for part in plain)


def _comments(model: type[Settings]) -> dict[str, str]:
    """The comment behind each field, from the source, inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (issubclass(base, Settings) and base is not Settings):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        lines = source.splitlines()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            match = re.match(r"    (\w+): ", lines[token.start[0] - 1]) if token.type == tokenize.COMMENT else None
            if match is not None and match[1] in base.model_fields:
                found[match[1]] = token.string.lstrip("# ")
    return found
