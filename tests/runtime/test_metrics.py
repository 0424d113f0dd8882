"""The metrics log: appending, torn lines, going back to a checkpoint."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mmupt.errors import RunFolderError
from mmupt.runtime.metrics import MetricsLog, read_metrics

STAGES = ("sft", "rl", "upt")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for stage in STAGES:
            for step in range(1, 4):
                log.append({"stage": stage, "step": step, "loss": step / 3})
    return tmp_path / "metrics.jsonl"


def test_numbers_come_back_and_the_file_is_strict_json(path: Path) -> None:
    with MetricsLog(path) as log:
        log.append({"stage": "inf", "kind": "upt", "step": 1, "loss": float("nan"), "kl": float("-inf"), "lr": 0.1})
        last = read_metrics(path)[-1]  # visible before the log is closed
    assert math.isnan(last["loss"])  # type: ignore[arg-type]
    assert last == {"stage": "inf", "kind": "upt", "step": 1, "loss": last["loss"], "kl": -math.inf, "lr": 0.1}
    assert json.loads(path.read_text().splitlines()[-1])["loss"] == "nan"


@pytest.mark.parametrize("torn", [b'{"stage": "upt", "st', b'{"stage": "upt", "step": 4}', b"\xff", b"{"])
def test_a_torn_last_line_is_removed(path: Path, torn: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(read_metrics(path)) == 9
    with MetricsLog(path) as log:
        assert path.read_bytes() == whole
        log.append({"stage": "upt", "step": 4})
    assert [r["step"] for r in read_metrics(path)][-2:] == [3, 4]


def test_a_log_that_holds_nothing_but_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'{"stage"')
    MetricsLog(tmp_path / "m").close()
    assert read_metrics(tmp_path / "m") == read_metrics(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("stage", "step", "kept"), [("upt", 3, 9), ("upt", 9, 9), ("upt", 2, 8), ("upt", 0, 6), ("rl", 3, 6), ("sft", 0, 0)]
)
def test_lines_behind_a_checkpoint_are_dropped(path: Path, stage: str, step: int, kept: int) -> None:
    before = read_metrics(path)
    with MetricsLog(path) as log:
        log.truncate_after(stage, step, STAGES)
        assert read_metrics(path) == before[:kept]
        log.append({"stage": stage, "step": step + 1})
    assert len(read_metrics(path)) == kept + 1
    assert [p.name for p in path.parent.iterdir()] == ["metrics.jsonl"]


def test_an_unknown_stage_is_refused(path: Path) -> None:
    with MetricsLog(path) as log, pytest.raises(ValueError, match="dpo"):
        log.truncate_after("dpo", 1, STAGES)


@pytest.mark.parametrize("damage", [b"garbage\n", b"[1]\n"])
def test_damage_in_the_middle_is_named(path: Path, damage: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl, line 3"):
        read_metrics(path)


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(path: Path) -> None:
    with MetricsLog(path) as log, pytest.raises(TypeError):
        log.append({"stage": "upt", "step": object()})
    assert len(read_metrics(path)) == 9


def test_a_full_disk_is_said_once_and_the_torn_line_goes(tmp_path: Path) -> None:
    """In a process of its own, whose files the system limits to 100 bytes."""
    path = tmp_path / "metrics.jsonl"
    script = (
        "import resource, sys; from pathlib import Path; from mmupt.errors import RunFolderError\n"
        "from mmupt.runtime.metrics import MetricsLog\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    with MetricsLog(Path(sys.argv[1])) as log:\n"
        "        for step in range(9):\n"
        "            log.append({'stage': 'upt', 'step': step})\n"
        "except RunFolderError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path}: cannot be written (File too large; "), done.stderr
    assert path.stat().st_size == 100 and not path.read_bytes().endswith(b"\n")
    with MetricsLog(path) as log:
        log.append({"stage": "upt", "step": 3})
    assert [record["step"] for record in read_metrics(path)] == [0, 1, 2, 3]
