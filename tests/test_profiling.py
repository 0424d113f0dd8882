"""`mmupt profile`: the right few steps are run, nothing stays, and what is said is what the metrics say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmupt.errors import ConfigError
from mmupt.profiling import choose_training_stage, profile_stage, rehearsal
from mmupt.recipe import Recipe, dump_recipe, load_recipe
from mmupt.train.settings import GrpoStage, SftStage

Shell = Callable[..., subprocess.CompletedProcess[str]]

# A pipeline that trains nothing: it writes the metrics of as many steps as it is asked for, the first one slow.
FAKE_PIPELINE = """
import os, sys, types
fake = types.ModuleType("mmupt.pipeline")
def run_recipe(recipe, **options):
    from pathlib import Path
    from mmupt.errors import TrainingError
    from mmupt.recipe import dump_recipe
    from mmupt.runtime.metrics import MetricsLog
    from mmupt.runtime.phases import Floor, PeakMemory, PhaseTotal, StepTimes, profile_fields
    [stage] = recipe.stages
    print("step 1/3 of a run")
    print(dump_recipe(recipe), file=sys.stderr)
    if os.environ.get("THEN") == "fail":
        raise TrainingError("the loss is not finite")
    if os.environ.get("THEN") == "interrupt":
        raise KeyboardInterrupt
    with MetricsLog(Path(recipe.run_dir) / "metrics.jsonl") as log:
        for step in range(getattr(stage, "steps", 1)):
            phases = {"decode": PhaseTotal(6.1 if step else 60, 1234, 9), "backward": PhaseTotal(2.2, 0, 3),
                      "forward": PhaseTotal(0.9, 0, 3), "reward": PhaseTotal(0.3, 0, 1)}
            times = StepTimes(sum(p.seconds for p in phases.values()) + 0.5, phases)
            fields = profile_fields(times, Floor(1e12, {"decode": 10**12}), PeakMemory(3 * 2**30, 5 * 2**29))
            log.append({"stage": stage.name, "kind": stage.kind, "step": step + 1, "tokens": 1234, **fields})
    return Path(recipe.run_dir)
fake.run_recipe = run_recipe
sys.modules["mmupt.pipeline"] = fake
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs `mmupt profile ARGUMENTS` in an empty folder with an empty folder for what is temporary."""

    def _shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "tmp").mkdir(exist_ok=True)
        code = FAKE_PIPELINE + "from mmupt.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, "profile", *arguments],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "TMPDIR": str(tmp_path / "tmp"), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return _shell


@pytest.fixture(scope="module")
def demo() -> Recipe:
    return load_recipe("demo")


class TestWhatIsRun:
    def test_the_last_stage_that_samples(self, demo: Recipe) -> None:
        assert choose_training_stage(demo, None).name == "upt"
        assert choose_training_stage(demo, "sft").name == "sft"
        only = demo.model_copy(update={"stages": demo.stages[:1]})
        assert choose_training_stage(only, None).name == "sft"

    def test_other_names_list_the_choices(self, demo: Recipe) -> None:
        with pytest.raises(ConfigError, match=r'demo has no stage "dpo" that trains; choose one of sft, rl, upt'):
            choose_training_stage(demo, "dpo")
        measuring = load_recipe("eval", ["model.path=m", "data.path=d"])
        with pytest.raises(ConfigError, match="nothing to profile"):
            choose_training_stage(measuring, None)

    def test_a_few_steps_and_nothing_else(self, demo: Recipe, tmp_path: Path) -> None:
        short = rehearsal(demo, choose_training_stage(demo, "rl"), 4, tmp_path / "run")
        [stage] = short.stages
        assert isinstance(stage, GrpoStage)
        assert (stage.name, stage.steps, stage.checkpoint_every) == ("rl", 4, 5)
        assert (short.evaluation, short.run_dir) == (None, str(tmp_path / "run"))
        assert stage.model_copy(update={"steps": 10, "checkpoint_every": 20}) == demo.stages[1]  # all else as it was
        (tmp_path / "short.toml").write_text(dump_recipe(short))
        assert load_recipe(str(tmp_path / "short.toml")) == short

    def test_sft_reads_as_many_rows_as_its_steps_need(self, demo: Recipe, tmp_path: Path) -> None:
        for limit, expected in ((None, 96), (1000, 96), (40, 40)):
            recipe = load_recipe("demo", [] if limit is None else [f"stages.sft.data.limit={limit}"])
            [stage] = rehearsal(recipe, choose_training_stage(recipe, "sft"), 3, tmp_path).stages
            assert isinstance(stage, SftStage)
            assert (stage.data.limit, stage.epochs, stage.batch_size) == (expected, 1, 32)


class TestWhatIsSaid:
    def test_a_table_and_what_follows_from_it(self, shell: Shell) -> None:
        done = shell("demo")
        assert done.returncode == 0, done.stderr
        assert "upt: a step, mean of 2 steps, the one before them to warm up" in done.stdout
        rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line[:1].isalpha()}
        assert rows["decode"] == ["decode", "6.100", "61.0", "%", "1,234", "202", "16", "%"]
        assert rows["other"] == ["other", "0.500", "5.0", "%"]
        for said in (
            "a step: 10 s, 123 tokens a second",
            "FLOP floor: 10 % (100 % would be perfect): at best its arithmetic takes 1 s, at the 1 TFLOP/s",
            "peak memory: 3 GiB, 2.5 GiB on the GPU",
            "largest costs: decode 61 %, backward 22 %, forward 9 %",
            "  decode: rollout.max_new_tokens",
            "  backward: model.gradient_checkpointing",
            "world:tiny, the model the recipe starts from",
        ):
            assert said in done.stdout, said
        assert "step 1/3 of a run" in done.stderr and "step 1/3 of a run" not in done.stdout

    def test_json_is_all_there_is_on_standard_output(self, shell: Shell) -> None:
        told = json.loads(shell("demo", "--json", "--steps", "5", "--stage", "rl").stdout)
        assert (told["recipe"], told["stage"], told["kind"], told["model"]) == ("demo", "rl", "rl", "world:tiny")
        assert (told["steps"], told["warm_up_steps"], told["seconds"]) == (4, 1, pytest.approx(10))
        assert told["phases"]["decode"]["share"] == pytest.approx(0.61)
        assert [cost["phase"] for cost in told["largest"]] == ["decode", "backward", "forward"]
        assert told["peak_cuda_memory_bytes"] == 5 * 2**29

    def test_a_single_step_is_not_left_out(self, shell: Shell) -> None:
        done = shell("demo", "--steps", "1")
        assert "mean of 1 step, warming up included" in done.stdout
        assert "largest costs: decode 94 %" in done.stdout

    def test_settings_reach_the_run(self, shell: Shell) -> None:
        done = shell("demo", "--set", "model.path=runs/x", "--set", "rollout.max_new_tokens=7")
        assert "max_new_tokens = 7" in done.stderr
        assert "These are steps of runs/x" in done.stdout


class TestWhatIsLeft:
    @pytest.mark.parametrize(("then", "code"), [("", 0), ("fail", 2), ("interrupt", 130)])
    def test_nothing(self, shell: Shell, tmp_path: Path, then: str, code: int) -> None:
        done = shell("demo", THEN=then)
        assert done.returncode == code
        assert "mmupt-profile-" in done.stderr  # where the run was
        assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]
        assert "Traceback" not in done.stderr
        assert not then or done.stdout == ""

    def test_mistakes_are_one_message(self, shell: Shell) -> None:
        done = shell("demo", "--stage", "[red]x")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == 'error: demo has no stage "[red]x" that trains; choose one of sft, rl, upt\n'
        assert shell("demo", "--steps", "0").returncode == 2


@pytest.mark.slow
class TestARealRun:
    """The loops enter every phase they have, and what they count fits together."""

    SMALL = ("world.sft_size=64", "world.unlabeled_size=32", "rollout.group_size=4", "rollout.max_new_tokens=8",
             "stages.upt.prompts_per_step=4", "stages.upt.updates_per_step=2", "stages.sft.batch_size=8",
             "algo.kl_coef=0.01", "stages.upt.reward.name=majority_vote")  # fmt: skip

    @pytest.mark.parametrize(
        ("stage", "phases"),
        [
            ("sft", {"prepare", "pack", "forward", "backward", "optimiser"}),
            ("upt", {"prepare", "prefill", "decode", "reward", "pack", "old", "reference", "forward", "backward",
                     "optimiser"}),
        ],
    )  # fmt: skip
    def test_phases(self, stage: str, phases: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        recipe = load_recipe("demo", self.SMALL)
        found = profile_stage(recipe, choose_training_stage(recipe, stage), 2)
        costs = {cost.phase: cost for cost in found.profile.phases}
        assert phases <= costs.keys()
        assert sum(cost.seconds for cost in costs.values()) == pytest.approx(found.profile.seconds)
        assert costs["other"].share < 0.5
        assert found.profile.floor_fraction is not None and 0 < found.profile.floor_fraction < 1
        assert found.profile.tokens == costs["forward"].tokens
        if stage == "upt":
            assert 4 * 4 <= costs["decode"].tokens == found.profile.tokens <= 4 * 4 * 8
            assert 0 < costs["old"].tokens < costs["decode"].tokens, "the first of two updates needs none"
        assert list(tmp_path.iterdir()) == []


def test_help_answers_without_torch() -> None:
    code = (
        "import sys\nfrom mmupt.cli import app\n"
        "try:\n    app(['profile', '--help'])\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "import mmupt.profiling\n"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & {*sys.modules}, 'heavy imports'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
