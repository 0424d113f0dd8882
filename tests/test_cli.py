"""The command line as a user meets it: in its own process, with exit codes and plain text on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mmupt import __version__
from mmupt.recipe import load_recipe, shipped_recipes

Shell = Callable[..., subprocess.CompletedProcess[str]]

# A pipeline that trains nothing: it notes what it was asked for, and does what the test wants of it.
FAKE_PIPELINE = """
import json, os, sys, types
fake = types.ModuleType("mmupt.pipeline")
def run_recipe(recipe, *, resume, overwrite, stopping):
    from pathlib import Path
    from mmupt.errors import TrainingError
    print(json.dumps(dict(name=recipe.name, seed=recipe.seed, run_dir=recipe.run_dir, model=recipe.model.path,
                          resume=resume, overwrite=overwrite)))
    if "MAKE_RUN" in os.environ:
        Path(recipe.run_dir).mkdir(parents=True, exist_ok=True)
        Path(recipe.run_dir, "run.json").write_text("{}")
    if os.environ.get("THEN") == "interrupt":
        raise KeyboardInterrupt
    if os.environ.get("THEN") == "fail":
        raise TrainingError("the loss is [bold]not[/bold] finite")
    return Path(recipe.run_dir)
fake.run_recipe = run_recipe
sys.modules["mmupt.pipeline"] = fake
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs `mmupt ARGUMENTS` in an empty folder, with the pipeline replaced."""

    def _shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        code = FAKE_PIPELINE + "from mmupt.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return _shell


def asked(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[0])


def written(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["demo"],
        ["eval"],
        ["compare"],
        ["export"],
        ["plan"],
        ["reproduce"],
        ["report"],
        ["watch"],
        ["grade"],
        ["vote"],
        ["doctor"],
        ["synth"],
        ["world"],
        ["recipes"],
        ["benchmarks"],
    ],
)
def test_help_imports_neither_torch_nor_transformers(command: list[str]) -> None:
    code = (
        "import sys\nfrom mmupt.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & {*sys.modules}, 'heavy imports'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_version(shell: Shell) -> None:
    assert shell("--version").stdout == f"mmupt {__version__}\n"


def test_benchmarks_lists_all_of_them_without_torch(shell: Shell) -> None:
    done = shell("benchmarks", COLUMNS="200")
    assert done.returncode == 0 and "torch" not in done.stderr
    for name in ("mathvision", "mathvista", "mathverse", "wemath", "chartqa", "iconqa", "tabmwp", "geometry3k", "geoqa",
                 "puzzlevqa", "math", "omni_math"):  # fmt: skip
        assert any(line.startswith(f"{name} ") for line in done.stdout.splitlines()), name


def test_grade_and_vote_from_standard_input(tmp_path: Path) -> None:
    rows = [{"responses": ["\\boxed{1/2}", "so 0.5.", "3"], "answer": "0.5"}, {"responses": ["no idea"], "answer": "1"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    told = {}
    for command in ("grade", "vote"):
        done = subprocess.run(
            [sys.executable, "-m", "mmupt.cli", command, "-", "--json"],
            input=text, capture_output=True, text=True, cwd=tmp_path, check=True,
        )  # fmt: skip
        told[command] = json.loads(done.stdout)
    assert told["grade"] == {"n": 2, "accuracy": pytest.approx((2 / 3 + 0) / 2), "no_answer": 1}
    assert told["vote"] == {
        "groups": 2, "mean_accuracy": pytest.approx(1 / 3), "majority_accuracy": 0.5, "pass_at_k": 0.5, "ties": 0,
        "no_answer_groups": 1,
    }  # fmt: skip


def test_recipes_lists_names_descriptions_and_stages(shell: Shell) -> None:
    done = shell("recipes")
    assert done.returncode == 0
    for recipe in shipped_recipes():
        assert recipe.name in done.stdout and recipe.description[:30] in done.stdout
    assert "sft > rl > upt" in done.stdout


def test_tab_completes_recipes_files_and_folders(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "minimal.toml").write_text("")
    (tmp_path / "minutes.txt").write_text("")
    (tmp_path / "mine").mkdir()

    def completed(command: str, begun: str) -> list[str]:
        asked = {"_MMUPT_COMPLETE": "complete_bash", "COMP_WORDS": f"mmupt {command} {begun}", "COMP_CWORD": "2"}
        return shell(**asked, _TYPER_COMPLETE_ARGS=f"mmupt {command} {begun}").stdout.split()

    for command in ("run", "probe", "plan", "profile", "doctor", "serve"):
        assert completed(command, "mini/l") == ["mini/lmsi", "mini/loop"]
        assert completed(command, "mini/measure") == ["mini/measure"]
    found = completed("run", "min")
    assert {"mini/upt", "minimal.toml", "mine/"} <= set(found) and "minutes.txt" not in found
    assert completed("run", "no such") == []


class TestRun:
    def test_run_folder_is_named_after_the_recipe(self, shell: Shell) -> None:
        assert asked(shell("run", "demo"))["run_dir"] == "runs/demo"
        assert asked(shell("run", "demo", "--set", "run_dir=there", "--set", "name=x"))["run_dir"] == "there"
        assert asked(shell("run", "demo", "--set", "name=x"))["run_dir"] == "runs/x"

    def test_flags_reach_the_pipeline(self, shell: Shell) -> None:
        assert asked(shell("run", "demo", "--resume"))["resume"] is True
        assert asked(shell("run", "demo", "--overwrite"))["overwrite"] is True
        both = shell("run", "demo", "--overwrite", "--resume")
        assert both.returncode == 2 and "give one of them" in both.stderr

    def test_the_folder_is_said_at_the_end(self, shell: Shell) -> None:
        assert shell("run", "demo").stdout.endswith("run folder: runs/demo\n")

    def test_a_folder_with_a_run_in_it(self, shell: Shell, tmp_path: Path) -> None:
        (tmp_path / "runs/demo").mkdir(parents=True)
        (tmp_path / "runs/demo/run.json").write_text("{}")
        done = shell("demo")
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: runs/demo: already holds a run.")
        assert all(option in done.stderr for option in ("--resume", "--overwrite", "--run-dir DIR"))
        assert "--set run_dir=DIR" in shell("run", "demo").stderr
        assert asked(shell("demo", "--overwrite"))["overwrite"] is True
        assert asked(shell("demo", "--resume"))["resume"] is True
        assert asked(shell("demo", "--run-dir", "other"))["run_dir"] == "other"


class TestDemo:
    def test_options(self, shell: Shell) -> None:
        call = asked(shell("demo", "--seed", "7", "--run-dir", 'odd "dir" [x]', "--set", "model.device=cpu"))
        assert (call["name"], call["seed"], call["run_dir"]) == ("demo", 7, 'odd "dir" [x]')

    def test_default_run_folder(self, shell: Shell) -> None:
        assert asked(shell("demo"))["run_dir"] == "runs/demo"


class TestEval:
    def test_builds_the_recipe(self, shell: Shell) -> None:
        done = shell("eval", "--model", "true", "--data", "3", "--samples", "4", "--out", "o", "--dry-run")
        recipe = tomllib.loads(done.stdout)
        assert (recipe["model"]["path"], recipe["evaluation"]["data"]["path"]) == (
            "true",
            "3",
        )  # text, whatever it says
        assert (recipe["evaluation"]["samples"], recipe["run_dir"]) == (4, "o")
        assert [stage["kind"] for stage in recipe["stages"]] == ["eval"]
        assert asked(shell("eval", "--model", "m", "--data", "d"))["run_dir"] == "runs/eval"

    def test_needs_model_and_data(self, shell: Shell) -> None:
        done = shell("eval", "--model", "m")
        assert done.returncode == 2 and "--data" in done.stderr

    def test_samples_are_checked(self, shell: Shell) -> None:
        done = shell("eval", "--model", "m", "--data", "d", "--samples", "0")
        assert done.returncode == 2
        assert "evaluation.samples" in done.stderr and "must be at least 1, not 0" in done.stderr


class TestDryRun:
    def test_prints_the_resolved_recipe_and_writes_nothing(self, shell: Shell, tmp_path: Path) -> None:
        done = shell("run", "demo", "--dry-run", "--set", "seed=3")
        assert done.returncode == 0 and done.stderr == ""
        assert written(tmp_path) == []
        (tmp_path / "again.toml").write_text(done.stdout)
        assert load_recipe(str(tmp_path / "again.toml")) == load_recipe("demo", ["seed=3", "run_dir=runs/demo"])

    def test_still_checks(self, shell: Shell) -> None:
        assert shell("run", "demo", "--dry-run", "--set", "sed=3").returncode == 2


class TestFailures:
    def test_a_users_mistake_is_one_message_and_exit_2(self, shell: Shell) -> None:
        done = shell("run", "demo", "--set", "model.dtype=fp16[red]x[/red]", "--set", "sed=1")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith('error: shipped recipe "demo": 2 problems\n')
        assert 'not "fp16[red]x[/red]"' in done.stderr  # as typed, not read as markup
        assert "did you mean `seed`?" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_failure_of_the_run(self, shell: Shell) -> None:
        done = shell("run", "demo", THEN="fail")
        assert (done.returncode, done.stderr) == (2, "error: the loss is [bold]not[/bold] finite\n")

    @pytest.mark.parametrize(
        "arguments", [["nonsense"], ["run"], ["run", "demo", "--nonsense"], ["demo", "--seed", "x"]]
    )
    def test_usage(self, shell: Shell, arguments: list[str]) -> None:
        done = shell(*arguments)
        assert done.returncode == 2
        assert "Usage" in done.stderr and "Traceback" not in done.stderr

    def test_interrupted_says_how_to_go_on(self, shell: Shell) -> None:
        done = shell("run", "demo", "--set", "run_dir=a b", THEN="interrupt", MAKE_RUN="1")
        assert done.returncode == 130
        assert done.stderr == "interrupted; continue with: mmupt run demo --set 'run_dir=a b' --resume\n"
        again = shell("run", "demo", "--set", "run_dir=a b", "--resume", THEN="interrupt")
        assert again.stderr == done.stderr

    def test_interrupted_before_the_run_began(self, shell: Shell, tmp_path: Path) -> None:
        done = shell("demo", "--seed", "1", THEN="interrupt")
        assert done.returncode == 130
        assert done.stderr == "interrupted; nothing was written yet, start again with: mmupt demo --seed 1\n"
        old = tmp_path / "runs/demo"
        old.mkdir(parents=True)
        (old / "run.json").write_text("{}")
        os.utime(old / "run.json", (1, 1))
        assert "start again with: mmupt demo --overwrite\n" in shell("demo", "--overwrite", THEN="interrupt").stderr

    def test_interrupted_while_overwriting(self, shell: Shell) -> None:
        done = shell("demo", "--overwrite", THEN="interrupt", MAKE_RUN="1")
        assert done.stderr == "interrupted; continue with: mmupt demo --resume\n"


class TestWorld:
    def test_writes_every_split(self, shell: Shell, tmp_path: Path) -> None:
        done = shell("world", "w", "--size", "3")
        assert (done.returncode, done.stdout) == (0, "written: w\n")
        for split in ("sft", "rl", "unlabeled", "test"):
            assert len((tmp_path / f"w/{split}.jsonl").read_text().splitlines()) == 3

    def test_leaves_a_used_folder_alone(self, shell: Shell, tmp_path: Path) -> None:
        (tmp_path / "w").mkdir()
        (tmp_path / "w/mine.txt").write_text("mine")
        done = shell("world", "w", "--size", "3")
        assert done.returncode == 2 and "not an empty folder" in done.stderr
        assert written(tmp_path / "w") == ["mine.txt"]
