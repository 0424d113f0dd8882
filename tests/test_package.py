"""What is installed is complete, and the exit codes and completion that docs/how-to/shell.md promises are there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mmupt.recipe
from mmupt import __version__
from mmupt.cli import app
from mmupt.runtime.stopping import EXIT_CODE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mmupt"
CODE = "from mmupt.cli import main; main()"


def test_every_file_of_the_package_is_in_a_wheel() -> None:
    """setuptools takes Python files by itself, all else by `package-data`, and no folder without __init__.py."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["mmupt"]
    taken = {file for pattern in patterns for file in PACKAGE.glob(pattern)}
    files = {file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    data = {file for file in files if file.suffix != ".py"}
    assert len(data) > 30
    assert sorted(str(file) for file in data - taken) == [], "add a pattern to [tool.setuptools.package-data]"
    assert [pattern for pattern in patterns if not [*PACKAGE.glob(pattern)]] == [], "patterns that match nothing"
    folders = {file.parent for file in files if file.suffix == ".py"}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mmupt.__version__"}
    # setuptools reads it without running the module only where it is a plain text.
    assert f'\n__version__ = "{__version__}"\n' in (PACKAGE / "__init__.py").read_text(encoding="utf-8")


def documented() -> set[int]:
    page = (ROOT / "docs" / "how-to" / "shell.md").read_text(encoding="utf-8")
    return {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.M)}


def written() -> set[int]:
    """The codes that the command line ends with by its own words, as constants; 0 where an exit names none."""
    codes: set[int] = set()
    for file in (PACKAGE / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "typer.Exit", "os._exit"):
                constants = [n.value for arg in node.args for n in ast.walk(arg) if isinstance(n, ast.Constant)]
                codes |= {int(value) for value in constants} if node.args else {0}
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
                codes |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
    return codes


def test_the_exit_codes_documented_are_those_there_are() -> None:
    assert documented() == written() | {EXIT_CODE} == {0, 1, 2, 130, 143}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["recipes"], 0), (["run", "no-such-recipe"], 2), (["run"], 2), (["run", "demo", "--no-such-option"], 2)],
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode == code and "Traceback" not in done.stderr
    assert not done.stderr or code == 2


def test_a_bug_and_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command that does not look after either itself."""

    def fails() -> None:
        raise RuntimeError("a bug")

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mmupt.recipe, "shipped_recipes", fails)
    assert CliRunner().invoke(app, ["recipes"]).exit_code == 1
    monkeypatch.setattr(mmupt.recipe, "shipped_recipes", interrupted)
    assert CliRunner().invoke(app, ["recipes"]).exit_code == 130


@pytest.mark.parametrize("module", ["mmupt", "mmupt.cli"])
def test_run_as_a_module(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mmupt {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "mmupt", "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_MMUPT_COMPLETE" in shown.stdout
    asked = {"_MMUPT_COMPLETE": "complete_bash", "COMP_WORDS": "mmupt pro", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mmupt"], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["probe", "profile"]
