"""What pydantic finds wrong with a recipe, said in plain sentences: key, value, what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import tomli_w
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mmupt.recipe.kinds import STAGE_MODELS
from mmupt.recipe.overrides import Key
from mmupt.recipe.sharing import SHARED, dotted, home
from mmupt.settings import Settings

_LONGEST_VALUE = 80

# What a value must be, by pydantic's type of error; filled from the error's context.
_RULES: Mapping[str, str] = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list in brackets",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a table of keys",
    "model_attributes_type": "must be a table of keys",
    "dict_type": "must be a table of keys",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be {expected_tags}",
}


def explain(
    error: ValidationError, root: type[Settings], document: Mapping[str, Any], overridden: Sequence[Key]
) -> list[str]:
    """One sentence for each fault below the recipe itself, each once, in the order of the recipe.

    `document` is what the user wrote, before `merge_shared`; `overridden` are the keys that came from `--set`.
    """
    sentences = []
    for fault in error.errors(include_url=False):
        loc: Key = fault["loc"]
        if len(loc) > 2 and loc[0] == "stages" and loc[2] in STAGE_MODELS:
            loc = (*loc[:2], *loc[3:])  # pydantic names the member of the union as well
        if fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"]:
            continue  # pydantic counts only the entries without faults, and those are told one by one
        if loc:
            sentences.append(_sentence(fault, loc, root, document, overridden))
    return list(dict.fromkeys(sentences))


def show(value: Any) -> str:
    """A value as TOML writes it, shortened.

    >>> show("fp16"), show(True), show([1, 2])
    ('"fp16"', 'true', '[1, 2]')
    """
    try:
        text = tomli_w.dumps({"v": {"v": value}}).partition("v = ")[2] if not isinstance(value, dict) else "a table"
    except TypeError:
        text = repr(value)
    text = re.sub(r"\s+", " ", text).replace("[ ", "[").replace(", ]", "]").strip() or repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def nearest(wrong: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant: by its initials (`learning_rate` -> `lr`) or by its spelling."""
    initials = "".join(word[:1] for word in wrong.split("_"))
    if len(initials) > 1 and initials in known:
        return initials
    near = difflib.get_close_matches(wrong, known, n=1)
    return near[0] if near else None


def _sentence(
    fault: ErrorDetails, loc: Key, root: type[Settings], document: Mapping[str, Any], overridden: Sequence[Key]
) -> str:
    kind, value, context = fault["type"], fault["input"], fault.get("ctx", {})

    def at(place: Key, *, missing: bool = False) -> str:
        key = home(place, document, missing=missing)
        from_set = not missing and any(key[: len(path)] == path or path[: len(key)] == key for path in overridden)
        return dotted(key, document) + (" (given with --set)" if from_set else "")

    if kind == "missing" and not isinstance(loc[-1], int):
        return _missing(loc, root, document, at)
    if kind == "extra_forbidden":
        return _unknown_key(loc, root, document, at)
    if kind == "value_error":
        return f"{at(loc)}: {context['error']}"
    if kind == "union_tag_not_found":
        return f"{at((*loc, 'kind'), missing=True)}: missing; choose one of {', '.join(STAGE_MODELS)}"
    if kind == "union_tag_invalid":
        loc, value = (*loc, "kind"), context["tag"]
    if kind == "missing":
        return f"{at(loc[:-1])}: has too few entries: {show(value)}"
    return f"{at(loc)}: {_rule(kind, context, loc, root, document)}, not {show(value)}{_guess(context, value)}"


def _rule(kind: str, context: Mapping[str, Any], loc: Key, root: type[Settings], document: Mapping[str, Any]) -> str:
    if kind == "string_pattern_mismatch":
        field = _field(loc, root, document)
        return f"must be {field.description if field and field.description else 'text like ' + context['pattern']}"
    rule = _RULES.get(kind, "must be a different kind of value")
    return rule.format_map(context).replace("'", '"')


def _guess(context: Mapping[str, Any], value: Any) -> str:
    """`; did you mean ...?` where the choices are words."""
    choices = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags") or ""))
    near = nearest(value, choices) if isinstance(value, str) else None
    return f'; did you mean "{near}"?' if near else ""


def _missing(loc: Key, root: type[Settings], document: Mapping[str, Any], at: Callable[..., str]) -> str:
    """A missing key; for a missing table, the keys that it cannot do without."""
    field = _field(loc, root, document)
    if loc == ("stages",):
        return "stages: missing; a recipe needs at least one [[stages]] table with a kind and a name"
    while field is not None and (model := _settings_class(field)):
        key, field = next(item for item in model.model_fields.items() if item[1].is_required())
        loc = (*loc, key)
    name = at(loc, missing=True)
    what = f" ({field.description})" if field is not None and field.description else ""
    return f"{name}: missing{what}; write it in the recipe or give it with --set {name}=VALUE"


def _unknown_key(loc: Key, root: type[Settings], document: Mapping[str, Any], at: Callable[..., str]) -> str:
    wrong = str(loc[-1])
    model = _model(loc[:-1], root, document)
    known = [*model.model_fields] if model else []
    if len(loc) == 1:
        known += sorted(SHARED)
    deeper = [".".join(path) for path in _paths(model, ())] if model and wrong not in known else []
    if len(loc) == 1:
        deeper += [".".join(path) for stage in STAGE_MODELS.values() for path in _paths(stage, ()) if path[0] in SHARED]
    elsewhere = list(dict.fromkeys(path for path in deeper if path.endswith(f".{wrong}")))
    if elsewhere:
        guess = f"; did you mean {' or '.join(f'`{path}`' for path in elsewhere)}?"
    elif near := nearest(wrong, known):
        guess = f"; did you mean `{near}`?"
    else:
        guess = "."
    return f"{at(loc)}: unknown key{guess} Known: {', '.join(sorted(known))}"


def _paths(model: type[Settings], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every key of the model and of the tables inside it."""
    for key, field in model.model_fields.items():
        yield (*above, key)
        inner = _settings_class(field)
        if inner is not None:
            yield from _paths(inner, (*above, key))


def _settings_class(field: FieldInfo) -> type[Settings] | None:
    """The settings class of a field that is a table (or a table or "none")."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def _model(loc: Key, root: type[Settings], document: Mapping[str, Any]) -> type[Settings] | None:
    """The settings class of the table at `loc`."""
    model: type[Settings] | None = root
    if loc[:1] == ("stages",):
        model = STAGE_MODELS[document["stages"][loc[1]]["kind"]]
        loc = loc[2:]
    for part in loc:
        field = model.model_fields.get(str(part)) if model else None
        model = _settings_class(field) if field else None
    return model


def _field(loc: Key, root: type[Settings], document: Mapping[str, Any]) -> FieldInfo | None:
    model = _model(loc[:-1], root, document)
    return model.model_fields.get(str(loc[-1])) if model else None
