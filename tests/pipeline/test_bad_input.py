"""Bad input, each kind once: one clear message that names the place, exit code 2, and nothing written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmupt.cli import main
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.run_folder import RunFolder
from mmupt.world.tiny_model import build_tiny_model

Micro = Callable[..., Path]
Rows = list[dict[str, Any]]


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmupt", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def no_question(rows: Rows, folder: Path) -> None:
    del rows[3]["question"]


def empty_question(rows: Rows, folder: Path) -> None:
    rows[3]["question"] = "  "


def missing_picture(rows: Rows, folder: Path) -> None:
    rows[3]["images"] = ["images/gone.png"]


def truncated_picture(rows: Rows, folder: Path) -> None:
    whole = (folder / rows[3]["images"][0]).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    rows[3]["images"] = ["cut.png"]


def not_a_picture(rows: Rows, folder: Path) -> None:
    (folder / "notes.png").write_text("these are notes")
    rows[3]["images"] = ["notes.png"]


def placeholder_without_picture(rows: Rows, folder: Path) -> None:
    rows[3]["images"] = []


def picture_without_placeholder(rows: Rows, folder: Path) -> None:
    rows[3]["question"] = "Add all dice."


def too_long(rows: Rows, folder: Path) -> None:
    rows[3]["question"] = "<image>" + "Add all dice. " * 900
    rows[3]["id"] = "the-long-one"


def reserved_token(rows: Rows, folder: Path) -> None:
    rows[3]["question"] = "<image>Add all <|image_pad|> dice."
    rows[3]["id"] = "the-odd-one"


BROKEN = [
    (no_question, ["rows.jsonl:4", "question"]),
    (empty_question, ["rows.jsonl:4", "question"]),
    (missing_picture, ["rows.jsonl:4", "images", "gone.png"]),
    (truncated_picture, ["rows.jsonl:4", "images", "cut.png"]),
    (not_a_picture, ["rows.jsonl:4", "images", "notes.png"]),
    (placeholder_without_picture, ["rows.jsonl:4", "<image>"]),
    (picture_without_placeholder, ["rows.jsonl:4", "<image>"]),
    (too_long, ["rows.jsonl", "the-long-one", "prompt.max_tokens"]),
    (reserved_token, ["the-odd-one", "<|image_pad|>"]),
]


@pytest.fixture
def upt(micro: Micro, questions: Path) -> Callable[[Callable[[Rows, Path], None] | None], Path]:
    """A recipe with one upt stage over `rows.jsonl`, whose rows `spoil` has changed."""

    def _upt(spoil: Callable[[Rows, Path], None] | None = None) -> Path:
        rows: Rows = [json.loads(line) for line in questions.read_text().split("\n") if line]
        if spoil is not None:
            spoil(rows, questions.parent)
        path = questions.with_name("rows.jsonl")
        path.write_text("\n".join(map(json.dumps, rows)))

        def edit(table: dict[str, Any]) -> None:
            table["stages"] = [s for s in table["stages"] if s["kind"] == "upt"]
            table["stages"][0].update(data={"path": str(path)}, steps=2)
            del table["evaluation"]

        return micro(edit)

    return _upt


@pytest.mark.parametrize(("spoil", "named"), BROKEN, ids=[spoil.__name__ for spoil, _ in BROKEN])
def test_one_bad_row_stops_the_run_before_it_begins(
    upt: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Rows, Path], None],
    named: list[str],
) -> None:
    assert run_cli(monkeypatch, "run", str(upt(spoil))) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    for word in named:
        assert word in error
    assert not (tmp_path / "run").exists(), "nothing half-written"


@pytest.mark.parametrize("spoil", [s for s, _ in BROKEN if s is not too_long], ids=lambda s: s.__name__)
def test_bad_rows_are_skipped_and_counted_where_asked(
    upt: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Rows, Path], None],
) -> None:
    assert run_cli(monkeypatch, "run", str(upt(spoil)), "--set", "data.bad_rows=skip") == 0
    layout = RunLayout(tmp_path / "run")
    at_load = json.loads(layout.summary.read_text())["skipped"].get("upt", 0)
    later = [json.loads(line)["skipped_prompts"] for line in layout.metrics.read_text().splitlines()]
    assert at_load == 1 or (spoil is reserved_token and at_load == 0 and later[-1] <= 1)


def test_long_prompts_are_skipped_where_asked(
    upt: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = upt(too_long)
    sets = ["--set", 'prompt.too_long="skip"', "--set", "stages.upt.steps=4"]
    assert run_cli(monkeypatch, "run", str(path), *sets) == 0
    metrics = [json.loads(line) for line in RunLayout(tmp_path / "run").metrics.read_text().splitlines()]
    assert metrics[-1]["skipped_prompts"] == 1


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("stages.upt.data.path=nowhere.jsonl", ["nowhere.jsonl"]),
        ("rollout.group_size=1", ["rollout.group_size", "1", "2"]),
        ("rollout.group_sise=4", ["group_sise", "group_size"]),
        ("model.path=nobody/nothing", ["nobody/nothing"]),
        ("stages.upt.prompts_per_step=64", ["prompts_per_step", "64", "12"]),
        ("model.device=tpu", ["tpu"]),
        ("stages.upt.data.path=world:tset", ["tset", "test"]),
    ],
)
def test_a_value_that_cannot_work_is_named(
    upt: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    named: list[str],
) -> None:
    assert run_cli(monkeypatch, "run", str(upt()), "--set", override) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    for word in named:
        assert word in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_data_set(
    upt: Callable[..., Path],
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    recipe = upt()
    questions.with_name("rows.jsonl").write_text(content)
    assert run_cli(monkeypatch, "run", str(recipe)) == 2
    assert "rows.jsonl" in capsys.readouterr().err


def test_a_run_folder_in_use(
    upt: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = upt()
    with RunFolder.create(tmp_path / "run", "", seed=0):
        before = sorted(p.name for p in (tmp_path / "run").iterdir())
        for flags in ([], ["--resume"], ["--overwrite"]):
            assert run_cli(monkeypatch, "run", str(recipe), *flags) == 2
            assert capsys.readouterr().err.startswith("error: ")
        assert sorted(p.name for p in (tmp_path / "run").iterdir()) == before


def test_a_checkpoint_of_another_model(
    upt: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody put another model where the run's start model was: resuming says so instead of training it."""
    recipe = upt()
    start = tmp_path / "start"
    build_tiny_model(start, ["Add all dice."] * 5, seed=0)
    sets = ["--set", f"model.path={start}", "--set", "stages.upt.steps=3", "--set", "stages.upt.checkpoint_every=1"]
    assert run_cli(monkeypatch, "run", str(recipe), *sets) == 0
    run = RunLayout(tmp_path / "run")
    last = run.checkpoint("upt", 3)
    shutil.rmtree(last)
    shutil.rmtree(start)
    build_tiny_model(start, [f"{a}{b} word" for a in "abcdefgh" for b in "ijklmnop"], seed=1)
    capsys.readouterr()
    # the finished checkpoint is gone: the stage would begin again, from another model than the run began with
    assert run_cli(monkeypatch, "run", str(recipe), *sets, "--resume") == 2
    assert "another model" in capsys.readouterr().err


def test_a_picture_of_another_mode_is_no_error(upt: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def odd_modes(rows: Rows, folder: Path) -> None:
        for row, mode in zip(rows, ("L", "RGBA", "P", "1", "CMYK", "LA"), strict=False):
            suffix = "jpg" if mode == "CMYK" else "png"
            Image.new(mode, (61, 40)).save(folder / f"{mode}.{suffix}")
            row["images"] = [f"{mode}.{suffix}"]

    assert run_cli(monkeypatch, "run", str(upt(odd_modes))) == 0
