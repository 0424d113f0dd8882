"""What `mmupt run --ray` says before anything starts, with Ray or without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmupt.errors import ConfigError
from mmupt.launching.ray import _why, require_ray


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)

    class Refuses:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "ray":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])


@pytest.mark.usefixtures("no_ray")
def test_a_missing_ray_is_one_message_with_what_installs_it() -> None:
    with pytest.raises(ConfigError) as raised:
        require_ray()
    assert "--ray: Ray is not installed" in str(raised.value)
    assert 'pip install "mmupt[ray]"' in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "--workers belongs to --ray"),
        (["--max-failures", "0"], "--max-failures belongs to --ray"),
        (["--ray", "local"], "--ray needs --workers"),
    ],
)
def test_options_that_belong_together(options: list[str], words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmupt.cli", "run", "demo", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and not any(tmp_path.iterdir())
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_the_last_words_of_a_run_that_failed_too_often() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install mmupt[ray]")
    from ray.exceptions import RayActorError

    error = RuntimeError("workers failed")
    assert "rank 0:\nZeroDivisionError: a bug" in _why(error, "rank 0:\nZeroDivisionError: a bug\n", 4)
    error.worker_failures = {0: ConnectionError("closed"), 1: RayActorError()}  # type: ignore[attr-defined]
    text = _why(error, "rank 0:\nConnectionError: closed", 4)
    assert "started 4 times" in text and "rank 1 died" in text and "closed" not in text
