"""Checkpoints that are finished in the background: one at a time, errors at the next look, a whole folder or none."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mmupt.errors import RunFolderError, TrainingError
from mmupt.runtime.checkpoints import begin_checkpoint, latest_checkpoint
from mmupt.runtime.saving import Saving


def test_the_caller_goes_on_and_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    folder, go = tmp_path / "step-000002", threading.Event()
    seal = begin_checkpoint(folder, lambda to: (to / "model").touch(), {"step": 2})

    def work() -> None:
        assert go.wait(20)
        seal()

    with Saving(background=True) as saving:
        saving.start(work)
        saving.look()
        assert not folder.exists()
        go.set()
        saving.wait()
        assert latest_checkpoint(tmp_path) == folder
        go.clear()
        seen: list[int] = []

        def slow() -> None:
            assert go.wait(20)
            seen.append(1)

        saving.start(slow)
        go.set()
        saving.start(lambda: seen.append(2))
    assert seen == [1, 2], "one at a time, in order, and the end waits for the last"


@pytest.mark.parametrize("background", [True, False])
def test_an_error_surfaces_once(tmp_path: Path, background: bool) -> None:
    def refuse() -> None:
        raise RunFolderError("full")

    with pytest.raises(RunFolderError, match="full"), Saving(background=background) as saving:
        saving.start(refuse)
    with pytest.raises(TrainingError), Saving(background=True) as saving:
        saving.start(refuse)
        raise TrainingError("its own say")
    with pytest.raises(RunFolderError), Saving(background=True) as saving:
        saving.start(refuse)
        raise KeyboardInterrupt
    with Saving(background=True) as saving:
        saving.start(refuse)
        with pytest.raises(RunFolderError):
            saving.start(lambda: None)
        saving.look()
