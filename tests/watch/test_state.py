"""What the page says of a run: from whatever the folder holds, and never from outside of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmupt.runtime.files import write_json
from mmupt.runtime.lock import FolderLock
from mmupt.watch.state import RunState

EVENT = {
    "step": 2,
    "action": "warn",
    "signal": "score",
    "text": "the score fell",
    "value": 0.5,
    "start": 0.7,
    "bound": 0.6,
}


def test_a_run_that_goes_on(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    made.step(layout, "upt", 1, [made.row("a", ["1"])])
    made.step(layout, "upt", 3, [made.row("a", ["1"])])
    story = {"watched": 8, "events": [EVENT], "start": {"score": 0.7}, "measurements": [{"step": 2, "score": 0.5}]}
    write_json(layout.guard("upt"), story)
    state = RunState(layout).state()
    json.dumps(state, allow_nan=False)
    assert (state["name"], state["writing"], state["problems"], state["tables"]) == ("dice", False, [], [])
    assert 0 <= state["quiet"] < 60
    rl, upt = state["stages"]
    assert (rl["name"], rl["words"], rl["steps"], rl["guard"]) == ("rl", "with labels", 2, None)
    assert upt["guard"]["light"] == "watch" and upt["guard"]["did"] == "warned in step 2"
    assert upt["guard"]["events"][0]["text"] == "the score fell" and upt["guard"]["marks"] == [[2, False]]
    assert upt["guard"]["measurements"] == [{"step": 2.0, "score": 0.5}]
    assert ("seed", "3") in state["facts"]


@pytest.mark.parametrize(
    ("events", "shut", "light"),
    [
        ([], False, "good"), ([], True, "bad"), ([EVENT | {"done": ["refresh"]}], False, "good"),
        ([EVENT], False, "watch"), ([EVENT | {"done": ["slow"]}], False, "watch"),
        ([EVENT | {"done": ["rollback"]}], False, "bad"), ([EVENT | {"done": ["stop"]}, EVENT], False, "bad"),
    ],
)  # fmt: skip
def test_the_light(tmp_path: Path, made: SimpleNamespace, events: list[object], shut: bool, light: str) -> None:
    layout = made.begin(tmp_path)
    write_json(layout.guard("upt"), {"events": events, "shut": shut})
    assert RunState(layout).state()["stages"][1]["guard"]["light"] == light


def test_results_are_those_of_the_report(tmp_path: Path, made: SimpleNamespace) -> None:
    rows = [{"name": n, "stage": n, "set": "s", "n": 40, "k": 8, "greedy": v, "greedy_interval": [v - 0.1, v + 0.1]}
            for n, v in (("base", 0.2), ("upt", 0.6))]  # fmt: skip
    state = RunState(made.begin(tmp_path, {"name": "named", "stages": rows})).state()
    (table,) = state["tables"]
    assert state["name"] == "named" and [row["name"] for row in table["rows"]] == ["base", "upt"]
    assert table["rows"][1]["figures"][0] == {
        "text": "60.0", "value": 60.0, "low": 50.0, "high": 70.0, "change": "+40.0", "verdict": 1
    }  # fmt: skip


def test_who_holds_the_folder_is_read_and_not_asked(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    state = RunState(layout)
    lock = FolderLock(tmp_path)
    assert state.state()["writing"]
    lock.release()
    assert not state.state()["writing"]
    FolderLock(tmp_path).release()  # nobody was kept from it
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "lock").write_text(f"{gone.pid} {socket.gethostname()}\n")  # a run that was killed
    assert not state.state()["writing"]
    (tmp_path / "lock").write_text("1 some-other-machine\n")
    assert state.state()["writing"]
    for text in (f"{os.getpid()}", "", "x y", "9" * 40 + f" {socket.gethostname()}", "\x00"):
        (tmp_path / "lock").write_text(text)
        assert state.state()["writing"] == text.isdecimal()


def test_damaged_pieces_are_named_and_the_rest_is_shown(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    for name in ("run.json", "summary.json", "guard/upt.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff{")
    state = RunState(layout).state()
    assert [problem.split(" ")[0] for problem in state["problems"]] == ["run.json", "summary.json", "guard/upt.json"]
    assert len(state["stages"]) == 2
    layout.recipe.write_bytes(b"\xff = [")
    assert any("recipe.toml cannot be read" in problem for problem in RunState(layout).state()["problems"])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert any("run.json is missing" in p for p in RunState(type(layout)(empty)).state()["problems"])


def test_no_name_of_a_stage_leads_out_of_the_folder(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path / "run")
    write_json(tmp_path / "secret.json", {"events": [], "shut": True})
    (tmp_path / "run" / "guard").mkdir()
    layout.recipe.write_text('[[stages]]\nkind = "upt"\nname = "../../secret"\n')
    (stage,) = RunState(layout).state()["stages"]
    assert stage["guard"] is None
