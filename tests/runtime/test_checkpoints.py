"""Checkpoints: killed at any moment, damaged in any byte."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmupt.errors import RunFolderError
from mmupt.runtime import checkpoints as module
from mmupt.runtime.checkpoints import latest_checkpoint, load_state, prune, save_checkpoint, verify_checkpoint

KILLED = """
import os, signal, sys
from pathlib import Path
from mmupt.runtime import checkpoints

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def write(folder):
    (folder / "model.safetensors").write_bytes(b"new" * 1000)
    if sys.argv[2] == "write":
        die()

if sys.argv[2] == "swap":  # between the two renames
    rename, calls = Path.rename, []
    def second_dies(self, target):
        calls.append(target)
        die() if len(calls) == 2 else rename(self, target)
    Path.rename = second_dies
elif sys.argv[2] == "manifest":
    checkpoints._fingerprint = die
checkpoints.save_checkpoint(Path(sys.argv[1]), write, {"step": 2})
"""


def save(parent: Path, step: int, content: bytes = b"weights") -> Path:
    def write(folder: Path) -> None:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "model.safetensors").write_bytes(content)
        (folder / "empty.txt").touch()

    folder = parent / f"step-{step:06d}"
    save_checkpoint(folder, write, {"step": step, "seeds": [1, 2**62], "best": 0.1})
    return folder


def test_saved_verified_found_and_read(tmp_path: Path) -> None:
    for step in (20, 40, 1_000_000):
        save(tmp_path, step)
    found = latest_checkpoint(tmp_path)
    assert found == tmp_path / "step-1000000"
    assert load_state(found) == {"step": 1_000_000, "seeds": [1, 2**62], "best": 0.1}
    assert latest_checkpoint(tmp_path / "none") is None


def test_replaces_an_older_one_of_the_same_name(tmp_path: Path) -> None:
    save(tmp_path, 20, b"old")
    folder = save(tmp_path, 20, b"new")
    verify_checkpoint(folder)
    assert (folder / "adapter/model.safetensors").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("moment", "step"), [("write", 1), ("write", 2), ("manifest", 1), ("manifest", 2), ("swap", 2)]
)
def test_a_kill_leaves_the_old_checkpoint(tmp_path: Path, moment: str, step: int) -> None:
    """Step 2 is killed while it is saved; with `step` 2, it is to replace an older step 2."""
    old = save(tmp_path, step, b"old")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "step-000002"), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert latest_checkpoint(tmp_path) == old
    verify_checkpoint(old)
    assert (old / "adapter/model.safetensors").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_an_older_one_left_behind_the_swap_is_removed(tmp_path: Path) -> None:
    folder = save(tmp_path, 20, b"new")
    shutil.copytree(folder, tmp_path / "step-000020.old-77")
    assert latest_checkpoint(tmp_path) == folder
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    folder = save(tmp_path, 20, b"old")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    def bug(_: Path) -> None:
        raise KeyError("bug")

    with pytest.raises(RunFolderError, match=r"step-000020: .*No space left"):
        save_checkpoint(folder, full, {})
    with pytest.raises(KeyError):
        save_checkpoint(folder, bug, {})
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(folder, lambda _: None, {"loss": float("nan")})
    verify_checkpoint(folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["adapter/model.safetensors", "state.json"])
@pytest.mark.parametrize("at", [0, -1])
def test_a_flipped_bit_is_found_and_the_older_one_is_used(
    tmp_path: Path, name: str, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = save(tmp_path, 20), save(tmp_path, 40)
    data = bytearray((newer / name).read_bytes())
    data[at] ^= 1
    (newer / name).write_bytes(data)
    with pytest.raises(RunFolderError, match=f"step-000040.*{name} has other content"):
        verify_checkpoint(newer)
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path) == older
    assert f"{name} has other content" in caplog.text


def test_missing_and_cut_files_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path, 20)
    (folder / "adapter/model.safetensors").write_bytes(b"weight")
    with pytest.raises(RunFolderError, match=r"model\.safetensors has another size"):
        verify_checkpoint(folder)
    (folder / "adapter/model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"model\.safetensors is missing"):
        verify_checkpoint(folder)
    for text in ("", "[]", '{"files": 3}', '{"files": {}}', "\ufeff{}", '{"files": {"state.json": 3}}'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"step-000020: damaged"):
            verify_checkpoint(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match=r"manifest\.json is missing"):
        verify_checkpoint(folder)


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    folders = [save(tmp_path, step) for step in (9, 10, 99, 100)]
    (tmp_path / "notes").mkdir()
    prune(tmp_path, 2)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "notes", *folders[2:]]
    prune(tmp_path, 5)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "notes", *folders[2:]]
    with pytest.raises(ValueError, match="at least 1"):
        prune(tmp_path, 0)


def test_everything_is_forced_to_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real = module.put_in_place
    monkeypatch.setattr(module, "sync", lambda path: events.append(path.name.partition(".tmp-")[0]))
    monkeypatch.setattr(module, "put_in_place", lambda *paths: (events.append("RENAME"), real(*paths)))
    save(tmp_path, 20)
    before = events[: events.index("RENAME")]
    assert set(before) == {"adapter", "model.safetensors", "empty.txt", "state.json", "manifest.json", "step-000020"}
    assert events[-1] == tmp_path.name
