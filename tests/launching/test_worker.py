"""How a worker begins: anew, over an earlier run, or from where a lost group has stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mmupt.launching import worker
from mmupt.launching.worker import Task, how_to_begin

EARLIER = '{"seed": 1}'


def task(*, resume: bool = False, overwrite: bool = False, earlier: str | None = None) -> Task:
    recipe: Any = None
    return Task(recipe, ".", resume, overwrite, earlier, 0)


def test_only_a_run_of_this_launch_goes_on(tmp_path: Path) -> None:
    assert how_to_begin(task(), tmp_path) == (False, False), "there is nothing yet"
    assert how_to_begin(task(overwrite=True), tmp_path) == (False, False), "nothing to delete either"
    assert how_to_begin(task(resume=True), tmp_path) == (True, False), "which then says that there is no run"
    (tmp_path / "run.json").write_text(EARLIER)
    assert how_to_begin(task(overwrite=True, earlier=EARLIER), tmp_path) == (False, True)
    assert how_to_begin(task(resume=True, earlier=EARLIER), tmp_path) == (True, False)
    (tmp_path / "run.json").write_text('{"seed": 2}')  # begun since, by a group that was lost
    assert how_to_begin(task(), tmp_path) == (True, False)
    assert how_to_begin(task(overwrite=True, earlier=EARLIER), tmp_path) == (True, False), "never overwrite our own"


HOLD = "import sys, time; from pathlib import Path; from mmupt.runtime.lock import FolderLock\n"
HOLD += "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(float(sys.argv[2]))"


def test_a_process_of_the_lost_group_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text(EARLIER)
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, "1.0"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        began = time.monotonic()
        assert how_to_begin(task(), tmp_path) == (True, False)
        assert time.monotonic() - began > 0.5, "it has waited until the folder was free"
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, "30"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        monkeypatch.setattr(worker, "_PATIENCE", 0.2)
        assert how_to_begin(task(), tmp_path) == (True, False), "and leaves it to the folder to say who holds it"
        other.kill()
