"""Whole plans: what fits, the fewest GPUs, advice that the same arithmetic bears out, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmupt.cli import app
from mmupt.errors import ConfigError, MmuptError
from mmupt.plan.architecture import read_architecture
from mmupt.plan.assumptions import Assumptions, assume
from mmupt.plan.gpus import GPUS, find_gpu, make_cluster
from mmupt.plan.memory import Setting, memories
from mmupt.plan.planner import plan_recipe, plan_stage
from mmupt.plan.stage import fewest_as_fast, fits, smallest_that_fits
from mmupt.plan.times import phase_times
from mmupt.plan.workload import Given, StageWork, not_counted, stage_work, training_stages
from mmupt.recipe import load_recipe

Paper = Callable[..., tuple[Setting, StageWork]]


def at(setting: Setting, gpus: int) -> Setting:
    return replace(setting, cluster=replace(setting.cluster, gpus=gpus))


class TestGpus:
    @pytest.mark.parametrize(
        ("written", "name"),
        [("h100", "H100"), ("A100 80GB", "A100-80"), ("a100", "A100-80"), ("A100-40GB", "A100-40"),
         ("rtx 4090", "RTX-4090"), ("4090", "RTX-4090"), ("NVIDIA H200", "H200"), ("H100-SXM5", "H100"),
         ("h100 pcie", "H100-PCIe")],
    )  # fmt: skip
    def test_however_written(self, written: str, name: str) -> None:
        assert find_gpu(written).name == name

    def test_every_gpu_by_its_own_name(self) -> None:
        assert all(find_gpu(name) is gpu for name, gpu in GPUS.items())

    @pytest.mark.parametrize(("wrong", "near"), [("H10", "H100"), ("L40", "L40S"), ("B20", "B200")])
    def test_the_nearest(self, wrong: str, near: str) -> None:
        with pytest.raises(ConfigError, match=f'--gpu "{wrong}": not known; did you mean {near}\\? Known: B200, H200'):
            find_gpu(wrong)

    def test_nodes(self) -> None:
        assert make_cluster("H100", None, 4, 8).gpus == 32
        assert make_cluster("H100", 6, None, 8).nodes == 1 and make_cluster("H100", 32, 4, 8).nodes == 4
        for gpus, nodes, message in ((12, None, "give 8 or 16"), (16, 3, "disagree"), (None, None, "--gpus N")):
            with pytest.raises(ConfigError, match=message):
                make_cluster("H100", gpus, nodes, 8)


class TestAssumptions:
    def test_changed(self) -> None:
        found = assume(["mfu=0.5", "overlap = 0", "hop_us=10", "network_gb_s=12.5"])
        assert found == replace(Assumptions(), mfu=0.5, overlap=0.0, hop_us=10.0, network_gb_s=12.5)

    @pytest.mark.parametrize(
        "wrong", ["mfu=1.5", "mfu=0", "mfu=-1", "mfu", "mfu=x", "mfu=nan", "hop_us=inf", "vote_ms=-1"]
    )
    def test_wrong_values(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match="--assume"):
            assume([wrong])

    def test_all_problems_at_once(self) -> None:
        with pytest.raises(ConfigError, match=r"(?s)2 problems.*did you mean mfu\?.*decode_mfu") as raised:
            assume(["mfy=0.5", "decode_mfu=7"])
        assert len(raised.value.problems) == 2


class TestFitting:
    def test_the_smallest_number_fits_and_the_next_smaller_does_not(self, paper: Paper) -> None:
        setting, work = paper("stages.upt.rollout.engine=vllm", model="72B", gpu="H200", tensor_parallel=8)
        smallest = smallest_that_fits(setting, work)
        assert smallest is not None and smallest > 8
        assert fits(at(setting, smallest), work) and not fits(at(setting, smallest // 2), work)

    def test_nothing_fits_what_each_gpu_holds_whole(self, paper: Paper) -> None:
        setting, work = paper("stages.upt.rollout.engine=vllm", model="72B", gpu="H200", layout="replica")
        plan = plan_stage(setting, work)
        assert plan.smallest is None and not plan.fits
        assert plan.advice[0].startswith("does not fit: ") and "weights, fp32" in plan.advice[0]
        assert "on no number of these GPUs up to 8,192" in plan.advice[1]
        assert 'processes.layout = "sharded"' in plan.advice[2]

    def test_what_is_advised_to_fit_fits(self, paper: Paper) -> None:
        setting, work = paper(gpus=8, checkpointing=False)
        plan = plan_stage(setting, work)
        assert not plan.fits
        assert "it fits here with model.gradient_checkpointing = true" in plan.advice
        assert plan_stage(replace(setting, checkpointing=True), work).fits

    def test_a_smaller_share_for_the_engine(self, paper: Paper) -> None:
        large = ("stages.upt.rollout.engine=vllm", "stages.upt.rollout.vllm.gpu_memory_fraction=0.9")
        setting, work = paper(*large, gpus=8)
        advice = plan_stage(setting, work).advice
        share = next(a for a in advice if "gpu_memory_fraction" in a).rpartition(" ")[2].strip("()")
        _, less = paper(large[0], f"stages.upt.rollout.vllm.gpu_memory_fraction={share}")
        assert fits(setting, less)

    def test_fewer_gpus_that_are_as_fast(self, paper: Paper) -> None:
        setting, work = paper("stages.upt.rollout.engine=vllm", gpus=4096)
        enough = fewest_as_fast(setting, work)

        def seconds(gpus: int) -> float:
            return sum(phase.seconds for phase in phase_times(at(setting, gpus), work))

        assert enough < 4096 and seconds(enough) <= 1.1 * seconds(4096)
        plan = plan_stage(setting, work)
        assert f"{enough} GPUs would be as fast to within a tenth" in plan.advice
        assert any(a.startswith("an update has 128 groups") and "3968 of 4096" in a for a in plan.advice)

    def test_faster_settings_are_named_only_where_they_are(self, paper: Paper) -> None:
        setting, work = paper(gpus=64, given=Given(800, 200))
        advice = [a for a in plan_stage(setting, work).advice if "instead of" in a]
        assert any(a.startswith('rollout.engine = "vllm"') for a in advice)
        for sentence in advice:
            then, _, now = sentence.partition(": ")[2].partition(" s a step instead of ")
            assert float(then) < float(now.removesuffix(" s"))


class TestWork:
    def test_lengths_are_the_limits_or_the_given_means(self, paper: Paper) -> None:
        _, work = paper()
        assert (
            (work.usual.prompt, work.usual.completions)
            == (2048, (2048,) * 10)
            == (work.longest.prompt, work.longest.completions)
        )
        _, less = paper(given=Given(900, 300, 200_000))
        assert (less.usual.prompt, less.usual.completions) == (900, (300,) * 10) and less.longest == work.longest
        for given in (Given(prompt_tokens=4000), Given(response_tokens=4000)):
            with pytest.raises(ConfigError, match="a mean cannot be above"):
                paper(given=given)

    def test_a_picture_leaves_room_for_words(self, paper: Paper) -> None:
        _, work = paper(given=Given(prompt_tokens=100))
        _, rows, columns = work.usual.pictures[0]
        assert rows * columns // 4 <= 68

    def test_a_teacher_answers_each_question_once(self, paper: Paper) -> None:
        vote = "stages.upt.reward.name=start_vote"
        assert paper()[1].taught == 0 and paper(vote)[1].taught == 5120
        _, few = paper(vote, given=Given(rows={"upt": 2048}))  # of 80 x 512 visits
        assert few.taught == 5120 / 20

    def test_the_guard_asks_now_and_then(self, paper: Paper) -> None:
        assert paper()[1].watched == 0 and paper("stages.upt.guard.enabled=true")[1].watched == 64 * 8 / 10

    def test_steps_of_sft_need_rows(self) -> None:
        recipe = load_recipe("demo", ["stages.sft.data.path=mine.jsonl"])
        model = read_architecture("Qwen/Qwen2.5-VL-7B-Instruct")
        sft, rl, _ = training_stages(recipe)
        assert stage_work(sft, recipe, model, Given()).steps is None
        assert stage_work(sft, recipe, model, Given(rows={"sft": 65})).steps == 4 * 65 // 32 + 1
        assert stage_work(rl, recipe, model, Given()).rows == recipe.world.rl_size
        world = load_recipe("demo")
        assert stage_work(training_stages(world)[0], world, model, Given()).steps == 4 * 10_000 // 32

    def test_what_is_not_counted_is_said(self) -> None:
        assert not_counted(load_recipe("demo")) == ["[evaluation] between the stages"]
        assert any("(targets)" in name for name in not_counted(load_recipe("mini/lmsi", ["model.path=x", "run_dir=y"])))


class TestCommand:
    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "200"})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_for_people(self) -> None:
        shown = self.run("mm-upt-paper", "--gpus", "8", "--gpu", "H200", "--mfu", "0.5")
        for text in ("8 x H200 (1 node)", "8.29 B parameters", "no GPU run of mmupt stands behind", "fits",
                     "mfu = 0.5", "steps an hour", "GPU hours", "not counted: [evaluation]"):  # fmt: skip
            assert text in shown

    def test_for_programs(self) -> None:
        found = json.loads(self.run("mm-upt-paper", "--nodes", "2", "--gpu", "h100", "--layout", "sharded", "--json"))
        assert (found["gpus"], found["parameters"], found["measured_on_gpus"]) == (16, 8_292_166_656, False)
        (stage,) = found["stages"]
        assert stage["seconds_a_step"] == pytest.approx(sum(stage["seconds"].values()))
        assert found["gpu_hours"] == pytest.approx(80 * 16 * stage["seconds_a_step"] / 3600)
        assert stage["memory_bytes"]["update"]["total"] < stage["memory_bytes"]["update"]["limit"]

    def test_every_shipped_recipe_that_names_its_model(self) -> None:
        for name in ("demo", "mm-upt-paper", "mini/upt"):
            assert json.loads(self.run(name, "--gpus", "1", "--gpu", "H100", "--json", "--model-config",
                                       "Qwen/Qwen2.5-VL-3B-Instruct"))["stages"]  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["demo", "--gpus", "1", "--gpu", "H1000"], "did you mean H100"),
            (["demo", "--gpu", "H100"], "give --gpus N, or --nodes N"),
            (["demo", "--gpus", "8", "--gpu", "H100", "--layout", "half"], "use replica or sharded"),
            (["demo", "--gpus", "8", "--gpu", "H100", "--rows", "sfd=3"], "no stage is called"),
            (["demo", "--gpus", "8", "--gpu", "H100", "--rows", "sft=0"], "STAGE=N"),
            (["eval", "--gpus", "8", "--gpu", "H100", "--set", "model.path=world:tiny", "--set",
              "data.path=world:test"], "the recipe has no stage of kind sft"),
            (["mm-upt-paper", "--gpus", "8", "--gpu", "H100", "--set", "stages.upt.rollout.engine=vllm",
              "--tensor-parallel", "3"], "does not divide"),
        ],
    )  # fmt: skip
    def test_mistakes(self, arguments: list[str], message: str) -> None:
        with pytest.raises(MmuptError, match=message):
            self.run(*arguments)

    def test_needs_no_torch(self, tmp_path: Path) -> None:
        code = (
            "import sys\nfrom mmupt.cli import app\n"
            "try:\n    app(['plan', 'mm-upt-paper', '--gpus', '8', '--gpu', 'H100', '--json'])\n"
            "except SystemExit as done:\n    assert not done.code\n"
            "assert not {'torch', 'transformers', 'datasets'} & {*sys.modules}\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_plan_is_what_its_parts_say(paper: Paper) -> None:
    recipe = load_recipe("mm-upt-paper")
    cluster = make_cluster("H200", 8, None, 8)
    made = plan_recipe(recipe, read_architecture("Qwen/Qwen2.5-VL-7B-Instruct"), "m", cluster)
    (stage,) = made.stages
    assert stage.memories == memories(stage.setting, stage.work) and stage.phases == tuple(
        phase_times(stage.setting, stage.work)
    )
    assert made.gpu_hours == stage.gpu_hours == pytest.approx(80 * stage.seconds * 8 / 3600)
    assert stage.limit.seconds == max(phase.seconds for phase in stage.phases)


def test_layout_and_offload_are_the_recipes_unless_they_are_given() -> None:
    model, cluster = read_architecture("Qwen/Qwen2.5-VL-7B-Instruct"), make_cluster("H200", 8, None, 8)
    other = load_recipe("mm-upt-paper", ["processes.layout=replica", "processes.cpu_offload=true"])
    for recipe, given, layout, offload in (
        (load_recipe("mm-upt-paper"), {}, "sharded", False),
        (other, {}, "replica", True),
        (other, {"layout": "sharded", "offload": False}, "sharded", False),
    ):
        setting = plan_recipe(recipe, model, "m", cluster, **given).setting  # type: ignore[arg-type]
        assert (setting.layout, setting.offload) == (layout, offload)
