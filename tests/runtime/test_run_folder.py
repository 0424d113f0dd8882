"""The run folder: creation, refusal, locks between processes, resuming."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mmupt.errors import RunFolderError
from mmupt.runtime import run_folder as module
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.run_folder import RunFolder, recipe_differences

RECIPE = 'name = "first"\nseed = 3\n\n[[stages]]\nname = "upt"\nsteps = 60\n\n[stages.optimizer]\nlr = 1e-6\n'

HOLD = """
import sys, time
from pathlib import Path
from mmupt.runtime.run_folder import RunFolder
run = RunFolder.create(Path(sys.argv[1]), sys.argv[2], seed=3)
if sys.argv[3] == "fork":
    import os
    if os.fork() > 0:
        time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def holder(path: Path, how: str = "plain") -> Iterator[subprocess.Popen[str]]:
    """Another process that has created and holds the run folder, in a process group of its own."""
    command = [sys.executable, "-c", HOLD, str(path), RECIPE, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_new_run_holds_recipe_seed_and_versions(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "runs" / "first", RECIPE, seed=3) as run:
        assert run.recipe.read_text() == RECIPE
        about = json.loads(run.run.read_text())
        assert about["versions"].keys() == {"mmupt", "python", "torch", "transformers"}
        assert about["seed"] == run.seed == 3
        assert (tmp_path / "runs/first/lock").read_text().split()[0] == str(os.getpid())
        assert run.checkpoint("upt", 20) == tmp_path / "runs/first/checkpoints/upt/step-000020"


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        RunLayout(tmp_path).eval_json("../../etc/passwd")


@pytest.mark.parametrize("name", ["thesis.tex", "recipe.toml", ".git"])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match=f"not empty.*{name}"):
        RunFolder.create(tmp_path, RECIPE, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_is_not_created_twice_but_resumed(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, RECIPE, seed=3).close()
    with pytest.raises(RunFolderError, match="already holds a run; resume"):
        RunFolder.create(tmp_path, RECIPE, seed=3)
    (tmp_path / ".summary.json.tmp-12").write_text("half")
    with RunFolder.resume(tmp_path, "# same, otherwise written\n" + RECIPE) as run:
        assert run.seed == 3
        assert not (tmp_path / ".summary.json.tmp-12").exists()


def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(RunFolderError, match="No space left"):
        RunFolder.create(tmp_path / "a" / "b", RECIPE, seed=0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="No space left"):
        RunFolder.create(tmp_path / "empty", RECIPE, seed=0)
    assert list((tmp_path / "empty").iterdir()) == []
    monkeypatch.undo()
    RunFolder.create(tmp_path / "empty", RECIPE, seed=0).close()


def test_a_creation_that_was_killed_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999 elsewhere\n")
    (tmp_path / "recipe.toml").write_text("old")
    (tmp_path / ".run.json.tmp-999999").write_text("{")
    with RunFolder.create(tmp_path, RECIPE, seed=0) as run:
        assert run.recipe.read_text() == RECIPE


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match=r"run: .*cannot be created"):
        RunFolder.create(tmp_path / "run", RECIPE, seed=0)


def test_two_processes_never_share_a_folder_and_a_kill_frees_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        message = f"in use by process {process.pid} on {os.uname().nodename}"
        with pytest.raises(RunFolderError, match=message):
            RunFolder.resume(tmp_path, RECIPE)
        with pytest.raises(RunFolderError, match=message):
            RunFolder.create(tmp_path, RECIPE, seed=3)
        process.kill()
        process.wait()
        RunFolder.resume(tmp_path, RECIPE).close()


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path, "fork") as process:
        process.kill()
        process.wait()
        RunFolder.resume(tmp_path, RECIPE).close()


def test_a_failed_resume_gives_the_folder_back(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, RECIPE, seed=3).close()
    with pytest.raises(RunFolderError):
        RunFolder.resume(tmp_path, RECIPE + "x = 1\n")
    RunFolder.resume(tmp_path, RECIPE).close()


def test_resume_names_every_differing_key(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, RECIPE, seed=3).close()
    other = RECIPE.replace("steps = 60", "steps = 80").replace("lr = 1e-6", 'lr = 1e-6\nschedule = "cosine"')
    with pytest.raises(RunFolderError) as caught:
        RunFolder.resume(tmp_path, other.replace("seed = 3\n", ""))
    lines = str(caught.value).splitlines()
    assert "another recipe" in lines[0]
    assert lines[1:] == [
        "  - seed: 3 -> (absent)",
        "  - stages[0].steps: 60 -> 80",
        '  - stages[0].optimizer.schedule: (absent) -> "cosine"',
    ]


def test_how_processes_work_together_may_change(tmp_path: Path) -> None:
    """Their table as their number: what is resumed is what was begun. The folder tells of the last."""
    RunFolder.create(tmp_path, RECIPE, seed=3).close()
    other = f'{RECIPE}\n[processes]\nlayout = "replica"\n'
    RunFolder.resume(tmp_path, other).close()
    assert RunLayout(tmp_path).recipe.read_text() == other
    RunFolder.resume(tmp_path, RECIPE).close()
    with pytest.raises(RunFolderError, match="another recipe"):
        RunFolder.resume(tmp_path, other.replace("steps = 60", "steps = 80"))
    assert RunLayout(tmp_path).recipe.read_text() == RECIPE


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a = 8", "a = 8.0", ["a: 8 -> 8.0"]),
        ("a = true", "a = 1", ["a: true -> 1"]),
        ("a = nan", "a = nan", []),
        ("a = [1, 2]", "a = [1, 2, 3]", ["a: [1, 2] -> [1, 2, 3]"]),
        ("[a]", "", ["a: {} -> (absent)"]),
        ("", "", []),
    ],
)
def test_differences(old: str, new: str, lines: list[str]) -> None:
    assert recipe_differences(tomllib.loads(old), tomllib.loads(new)) == lines


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run to resume"):
        RunFolder.resume(tmp_path / "missing", RECIPE)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(RunFolderError, match=r"holds no run\.json"):
        RunFolder.resume(tmp_path / "other", RECIPE)
    assert list((tmp_path / "other").iterdir()) == []


def test_other_versions_are_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    RunFolder.create(tmp_path, RECIPE, seed=3).close()
    file = tmp_path / "run.json"
    about = json.loads(file.read_text())
    about["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(about))
    with caplog.at_level(logging.WARNING):
        RunFolder.resume(tmp_path, RECIPE).close()
    assert "torch 1.0" in caplog.text
    file.write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json: damaged"):
        RunFolder.resume(tmp_path, RECIPE)
