"""`--set key=value`: changes to a recipe's TOML document from the command line.

A key is written as in TOML (`optimizer.lr`, `stages.upt.rollout.group_size`, `stages."v1.2".steps`, `stages.0.steps`),
a value too, except that plain text needs no quotes: `data.path=pictures/train.jsonl`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

Key = tuple[str | int, ...]
"""Where a value stands in a document; a stage is an index: ("stages", 0, "rollout", "group_size")."""


def assignment(key: str, value: str | int | list[str]) -> str:
    """An override that sets `key` to exactly `value`, however the text of `value` looks.

    >>> assignment("data.path", "true")
    'data.path="true"'
    """
    if isinstance(value, list):
        return f"{key}=[{', '.join(map(_toml, value))}]"
    return f"{key}={_toml(value)}"


def _toml(value: str | int) -> str:
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")


@dataclass(frozen=True, slots=True)
class Override:
    """One `--set`: the text as given, the names of its dotted key, and the value."""

    text: str
    names: tuple[str, ...]
    value: Any


def parse_overrides(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and a problem for each that cannot."""
    overrides, problems = [], []
    for text in texts:
        try:
            overrides.append(_parse(text))
        except ValueError as error:
            problems.append(f"--set {text}: {error}")
    return overrides, problems


def apply_overrides(document: dict[str, Any], overrides: Sequence[Override]) -> tuple[list[Key], list[str]]:
    """Changes `document` in place, later overrides winning. Returns the keys that were set, and every problem found."""
    keys: list[Key] = []
    problems: list[str] = []
    for override in overrides:
        try:
            keys.append(_put(document, override.names, override.value))
        except ValueError as error:
            problems.append(f"--set {override.text}: {error}")
    return keys, problems


def _parse(override: str) -> Override:
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals:
        raise ValueError("no `=` in it; write --set key=value, for example --set optimizer.lr=1e-5")
    names = _key_names(key)
    if not names:
        raise ValueError(f"`{key}` is not a key; write dotted names, for example optimizer.lr")
    if not text:
        raise ValueError(f"no value after `=`; write '{key}=\"\"' for an empty text")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if text[0] in "[{\"'":
            raise ValueError(
                f"the value is not valid TOML ({error}); put the whole override in single quotes so that the shell "
                "keeps the double ones, for example --set 'model.freeze=[\"vision\"]'"
            ) from None
        return Override(override, names, text)
    # A line break followed by an assignment would parse as a second key: such a value is text as well.
    return Override(override, names, parsed["value"] if len(parsed) == 1 else text)


def _key_names(key: str) -> tuple[str, ...]:
    """The parts of a dotted TOML key; empty where it is not one."""
    try:
        node: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while isinstance(node, dict):
        if len(node) != 1:
            return ()
        ((name, node),) = node.items()
        names.append(name)
    return tuple(names)


def _put(document: dict[str, Any], names: tuple[str, ...], value: Any) -> Key:
    """Writes the value, making the tables on the way, and returns the key it went to."""
    node: Any = document
    place: Key = ()
    if names[0] == "stages" and len(names) > 1:
        place = ("stages", _stage_index(document.get("stages"), names))
        node, names = document["stages"][place[1]], names[2:]
    for depth, name in enumerate(names[:-1]):
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ValueError(
                f"`{'.'.join(names[: depth + 1])}` is {node!r}, not a table with a key `{names[depth + 1]}`"
            )
    node[names[-1]] = value
    return (*place, *names)


def _stage_index(stages: Any, names: tuple[str, ...]) -> int:
    """Which stage `stages.NAME.key` or `stages.INDEX.key` means."""
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError("the recipe has no [[stages]] to change")
    known = [str(stage.get("name", "")) for stage in stages]
    wanted = names[1]
    if wanted in known:
        index = known.index(wanted)
    elif wanted.isdecimal() and int(wanted) < len(stages):
        index = int(wanted)
    else:
        near = difflib.get_close_matches(wanted, known, n=1)
        guess = f"; did you mean `{near[0]}`?" if near else "."
        raise ValueError(f"no stage `{wanted}`{guess} Stages: {', '.join(known)}, or an index from 0")
    if len(names) < 3:
        raise ValueError(f"this is a whole stage; name one of its keys: stages.{wanted}.KEY")
    return index
