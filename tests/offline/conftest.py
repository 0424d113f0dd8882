"""The commands `grade` and `vote` on a small app of their own, and files for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from mmupt.cli.answers import grade, vote
from mmupt.errors import MmuptError

Command = Callable[..., Result]


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command("grade")(grade)
    app.command("vote")(vote)
    return app


@pytest.fixture
def command() -> Command:
    """Runs a command that must succeed."""

    def _command(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(_app(), [str(a) for a in arguments], input=stdin, catch_exceptions=False)

    return _command


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Runs a command that must fail by a mistake of its user; the message."""

    def _refusal(*arguments: object, stdin: bytes | None = None) -> str:
        result = CliRunner().invoke(_app(), [str(a) for a in arguments], input=stdin)
        assert isinstance(result.exception, MmuptError), (result.output, result.exception)
        assert result.stdout == ""
        return str(result.exception)

    return _refusal


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, each an object or a raw line, to a file."""

    def _jsonl(rows: Sequence[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path

    return _jsonl


@pytest.fixture
def lines_of() -> Callable[[Path], list[dict[str, Any]]]:
    """The objects in a JSON lines file."""

    def _lines_of(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

    return _lines_of
