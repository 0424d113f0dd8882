"""`mmupt synth`, and a stage of kind `synth` in a run: everything real but what the model says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mmupt.cli import app
from mmupt.data.dataset import load_prompts
from mmupt.data.settings import DataSettings
from mmupt.engines.base import Request, Sampling
from mmupt.engines.choice import Engines
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.errors import EngineError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.types import Rollout
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice

WORDS = ["--set", "prompt.suffix=''", "--set", "model.dtype=float32", "--set", "prompt.min_pixels=3136",
         "--set", "prompt.max_pixels=3136"]  # fmt: skip


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model asks for the largest or the smallest die, and answers one of three numbers."""

    def generate(self: HFEngine, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        tokenizer = self.loaded.family.tokenizer
        found = []
        for request in requests:
            asked = "write one question" in tokenizer.decode(request.encoded.token_ids)
            texts = [
                ("Largest die?", "Smallest die?")[s % 2] if asked else rf"\boxed{{{s % 3}}}" for s in request.seeds
            ]
            found.append(tuple(Rollout((1,), (0.0,), text, "end") for text in texts))
        return found

    monkeypatch.setattr(HFEngine, "generate", generate)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of six pictures, and nothing else."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(png_bytes(Dice.random(Random(f"album {number}")).draw()))
    return folder


def synth(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["synth", "--model", "world:tiny", *WORDS, *arguments])


def test_the_engine_asked_for_is_the_engine_used(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it has room for questions that are longer than answers."""
    asked: list[tuple[str, int]] = []

    def of(self: Engines, settings: RolloutSettings, prompt: object, clock: object, longest: int) -> Any:
        asked.append((settings.engine, longest))
        raise EngineError("a test wants no engine")

    monkeypatch.setattr(Engines, "of", of)
    monkeypatch.setattr("mmupt.preflight.check_engine", lambda *_: None)  # vLLM need not be there to be asked for
    sets = ["--set", "rollout.engine=vllm", "--set", "stages.synth.writing.max_new_tokens=777"]
    done = synth("--data", str(album), "--out", str(tmp_path / "out"), *sets)
    assert "a test wants no engine" in str(done.exception) and asked == [("vllm", 777)]
    own = ["--set", "model.path=world:tiny", "--set", f"run_dir={tmp_path / 'run'}", "--set", f"data.path={album}"]
    done = CliRunner().invoke(app, ["run", "synth", *WORDS, *own, *sets])
    assert "a test wants no engine" in str(done.exception) and asked[1:] == [("vllm", 777)]


def test_own_pictures_and_nothing_else(speaking: None, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = synth("--data", str(album), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "synth: 24 questions written" in done.stdout and f"data set: {out}" in done.stdout
    rows = load_prompts(DataSettings(path=str(out))).rows
    assert rows and all(row.question in ("<image>Largest die?", "<image>Smallest die?") for row in rows)
    assert {row.id.rpartition("#")[0] for row in rows} <= {f"{number}.png" for number in range(6)}

    again = synth("--data", str(album), "--out", str(out))
    assert again.exit_code != 0 and "already holds questions. Continue with --resume" in str(again.exception)
    resumed = synth("--data", str(album), "--out", str(out), "--resume", "--json")
    assert json.loads(resumed.stdout)["kept"] == len(rows) and "done before" in resumed.stderr
    other = synth("--data", str(album), "--out", str(out), "--resume", "--set", "stages.synth.candidates=2")
    assert "written with other settings" in str(other.exception)
    anew = synth("--data", str(album), "--out", str(out), "--overwrite", "--set", "stages.synth.candidates=2", "--json")
    assert json.loads(anew.stdout)["written"] == 12


def test_folders(speaking: None, album: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    for arguments, message in (
        (["--out", str(used)], "is not an empty folder"),
        (["--out", str(used), "--overwrite"], "is not an empty folder"),
        (["--out", str(tmp_path / "new"), "--resume"], "there is nothing to resume"),
    ):
        assert message in str(synth("--data", str(album), *arguments).exception)
    assert [file.name for file in used.iterdir()] == ["mine.txt"]
    assert synth("--data", str(album), "--resume", "--overwrite").exit_code == 2


def test_a_picture_that_cannot_be_read(speaking: None, album: Path, tmp_path: Path) -> None:
    (album / "broken.png").write_bytes(b"no picture")
    done = synth("--data", str(album), "--out", str(tmp_path / "out"))
    assert "broken.png is not a picture that can be read" in str(done.exception)
    assert not (tmp_path / "out").exists(), "nothing is written before all was looked at"
    done = synth("--data", str(album), "--out", str(tmp_path / "out"), "--set", "data.bad_rows=skip")
    assert done.exit_code == 0 and "1 rows cannot be used" in done.stderr


def test_a_model_that_can_write_nothing(album: Path, tmp_path: Path) -> None:
    """As a user meets it: an untrained model, one message, exit code 2, and no data set."""
    code = "from mmupt.cli import main; main()"
    few = ["--set", "stages.synth.writing.max_new_tokens=6", "--set", "stages.synth.candidates=1"]
    arguments = ["synth", "--model", "world:tiny", *WORDS, *few, "--data", str(album), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no question can be handed on: 0 of 6 written questions kept" in done.stderr
    assert "unparsable (no question could be read)" in done.stderr
    assert not (tmp_path / "out/train.jsonl").exists() and (tmp_path / "out/page.html").exists()


def test_dry_run_and_stages(micro: Callable[..., Path]) -> None:
    shown = CliRunner().invoke(app, ["synth", "--model", "m", "--data", "d", "--dry-run"])
    assert shown.exit_code == 0 and "Look closely at the picture" in shown.stdout
    assert 'has no stage of kind "synth"' in str(CliRunner().invoke(app, ["synth", str(micro())]).exception)
    wrong = CliRunner().invoke(app, ["synth", "--model", "m", "--data", "d", "--stage", "x"])
    assert 'no stage "x" of kind "synth"; choose one of synth' in str(wrong.exception)
    assert CliRunner().invoke(app, ["synth", "--help"]).exit_code == 0


def test_in_a_run(speaking: None, micro: Callable[..., Path], album: Path, tmp_path: Path) -> None:
    """The stage writes into the run folder, counts into the metrics, and is not done twice."""

    def edit(table: dict[str, Any]) -> None:
        stage = {"kind": "synth", "name": "write", "data": {"path": str(album)}}
        table["stages"] = [stage]
        del table["evaluation"]

    recipe = load_recipe(str(micro(edit)))
    run_recipe(recipe)
    run = RunLayout(tmp_path / "run")
    rows = load_prompts(DataSettings(path=str(run.made("write")))).rows
    (record,) = read_metrics(run.metrics)
    assert record["kept"] == len(rows) > 0 and run.report.exists()
    before = {file: file.read_bytes() for file in run.made("write").rglob("*") if file.is_file()}
    run_recipe(recipe, resume=True)
    assert len(read_metrics(run.metrics)) == 1
    assert {file: file.read_bytes() for file in run.made("write").rglob("*") if file.is_file()} == before
