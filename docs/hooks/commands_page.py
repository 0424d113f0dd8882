"""The page of all commands, from the command line itself: help texts, arguments, options, defaults."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import typer

from mmupt.cli import app

INTRODUCTION = """\
# Commands

Every command with its arguments and options. This page is made from the command line whenever the site is built; in a
terminal `mmupt COMMAND --help` says the same.

[In the shell](../how-to/shell.md) has exit codes and completion.
"""


def commands_page() -> str:
    """The page in Markdown."""
    group: Any = typer.main.get_command(app)
    lines = [INTRODUCTION, "| | |", "|---|---|"]
    named = [(f"mmupt {name}", command) for name, command in group.commands.items()]
    lines += [f"| [`{name}`](#{anchor(name)}) | {_first_line(command)} |" for name, command in named]
    lines.append("")
    for name, command in named:
        lines += _section(name, command, depth=2)
    return "\n".join(lines)


def anchor(name: str) -> str:
    """What a link to a command names: `mmupt run` is at #run."""
    return name.removeprefix("mmupt ").replace(" ", "-")


def _section(name: str, command: Any, *, depth: int) -> list[str]:
    lines = [f"{'#' * depth} {name} {{ #{anchor(name)} }}", "", "```text", _usage(name, command), "```", ""]
    lines += [_escaped(inspect.cleandoc(command.help or "")), ""]
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    if shown:
        lines += ["| | | default |", "|---|---|---|"]
        lines += [f"| `{_spelled(param)}` | {_escaped(param.help or '')} | {_default(param)} |" for param in shown]
        lines.append("")
    for inner, sub in getattr(command, "commands", {}).items():
        lines += _section(f"{name} {inner}", sub, depth=depth + 1)
    return lines


def _usage(name: str, command: Any) -> str:
    parts = [name]
    for param in command.params:
        if param.param_type_name == "argument":
            label = (param.metavar or param.name.upper()).strip("[]")
            parts.append(label if param.required else f"[{label}]")
        elif param.required:
            parts.append(_spelled(param))
    if any(param.param_type_name == "option" and not param.required for param in command.params):
        parts.append("[OPTIONS]")
    return " ".join(parts)


def _spelled(param: Any) -> str:
    """`--k, --samples INTEGER`, or the name of an argument."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper()).strip("[]")
    names = ", ".join([*param.opts, *param.secondary_opts])
    return names if param.is_flag else f"{names} {_metavar(param)}"


def _metavar(param: Any) -> str:
    if param.metavar:
        return str(param.metavar)
    kind = param.type_descriptor.annotation
    return {int: "N", float: "X"}.get(kind, "TEXT" if kind is str else str(getattr(kind, "__name__", "TEXT")).upper())


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    if param.default in (None, False, ()):
        return ""
    return f"`{param.default}`" if not isinstance(param.default, str) else f"`{json.dumps(param.default)}`"


def _first_line(command: Any) -> str:
    return _escaped(inspect.cleandoc(command.help or "").split("\n\n")[0])


def _escaped(text: str) -> str:
    """Help texts are plain: what would be Markdown or HTML outside of code is shown as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    plain = [part if part.startswith("`") else re.sub(r"([<*|\[\]])", r"\\\1", part) for part in parts]
    return "".join(plain)
