"""`mmupt reproduce` itself, without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mmupt.cli import app
from mmupt.reproduce.kept import Kept


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def _call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["reproduce", *arguments])

    return _call


def test_a_dry_run_lists_what_would_be_run_and_writes_nothing(call, tmp_path: Path) -> None:
    done = call("--table", "5", "--table", "figure2", "--seeds", "2", "--dry-run")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert "seed-1/upt  mini/upt  seed=1 world.seed=1  from seed-1/start" in lines
    assert lines[-1].startswith("9 runs to make, 0 are there, 0 have failed; about ")
    assert len(lines) == 10 and not list(tmp_path.iterdir())


def test_a_table_that_is_not_there(call) -> None:
    done = call("--table", "9", "--dry-run")
    assert done.exit_code == 2 and "there is no table 9" in done.output


def test_the_page_of_what_is_kept_and_nothing_else(call, kept: Kept, tmp_path: Path) -> None:
    done = call("--page-only", "--out", "results.md")
    assert (done.exit_code, done.stdout) == (0, "page: results.md\n")
    assert "| MM-UPT | 54.4 (53.3 to 56.7) |" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "figures" / "reproduce.png").exists() and not (tmp_path / "runs").exists()
