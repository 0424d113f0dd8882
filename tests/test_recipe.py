"""Recipes: what is merged where, what a fault is told as, and that what is written out loads again."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmupt.algo.settings import AlgoSettings
from mmupt.errors import ConfigError
from mmupt.recipe import Recipe, dump_recipe, load_recipe, shipped_recipes
from mmupt.recipe.overrides import assignment, parse_overrides
from mmupt.recipe.problems import nearest, show
from mmupt.recipe.sharing import SHARED
from mmupt.rewards.settings import RewardSettings
from mmupt.settings import Settings
from mmupt.train.settings import GrpoStage, SftStage

# What a shipped recipe leaves to its user.
NEEDED = {
    "benchmarks": ["model.path=m", 'evaluation.benchmarks=["wemath"]'],
    "eval": ["model.path=world:tiny", "data.path=x.jsonl"],
    "paper/spin": ["data.path=x.jsonl"],
    "synth": ["model.path=m", "data.path=pictures"],
    "tiny-real": ["data.path=x.jsonl"],
}
SHIPPED = [recipe.name for recipe in shipped_recipes()]

SMALL = """
name = "small"
[model]
path = "world:tiny"
[data]
path = "all.jsonl"
limit = 7
[optimizer]
lr = 1e-4
weight_decay = 0.5
[rollout]
group_size = 6
[[stages]]
kind = "sft"
name = "sft"
[[stages]]
kind = "rl"
name = "rl"
steps = 2
prompts_per_step = 8
[stages.data]
path = "rl.jsonl"
[stages.rollout]
temperature = 0.5
[[stages]]
kind = "upt"
name = "upt"
steps = 3
prompts_per_step = 8
[stages.optimizer]
lr = 1e-5
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> str:
        file = tmp_path / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return _write


@pytest.fixture
def small(write) -> str:
    return write(SMALL)


def problems(name_or_path: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(name_or_path, overrides)
    return caught.value.problems


def problem(name_or_path: str, *overrides: str) -> str:
    found = problems(name_or_path, *overrides)
    assert len(found) == 1, found
    return found[0]


class TestShipped:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_loads(self, name: str) -> None:
        recipe = load_recipe(name, NEEDED.get(name, []))
        assert recipe.name == name.rpartition("/")[2]
        assert recipe.description

    @pytest.mark.parametrize("name", SHIPPED)
    def test_resolved_recipe_loads_to_an_equal_one(self, name: str, write) -> None:
        recipe = load_recipe(name, NEEDED.get(name, []))
        assert load_recipe(write(dump_recipe(recipe))) == recipe

    def test_they_are_there(self) -> None:
        alone = [name for name in SHIPPED if "/" not in name]
        assert alone == ["benchmarks", "demo", "eval", "mm-upt-paper", "synth", "tiny-real"]
        assert {"paper/grpo", "paper/lmsi", "paper/stic"} <= set(SHIPPED)

    def test_demo_walks_the_whole_road_offline(self) -> None:
        recipe = load_recipe("demo")
        assert [stage.kind for stage in recipe.stages] == ["sft", "rl", "upt"]
        assert recipe.model.path == "world:tiny"
        assert [stage.data.path for stage in recipe.stages] == ["world:sft", "world:rl", "world:unlabeled"]
        assert recipe.evaluation is not None and recipe.evaluation.start and recipe.evaluation.every_stage

    def test_paper_has_the_papers_numbers(self) -> None:
        recipe = load_recipe("mm-upt-paper")
        (stage,) = recipe.stages
        assert (stage.rollout.group_size, stage.rollout.temperature, stage.rollout.top_p) == (10, 0.7, 0.99)
        assert (stage.optimizer.lr, stage.optimizer.weight_decay, stage.optimizer.max_grad_norm) == (1e-6, 0.01, 1.0)
        assert (stage.algo.clip_low, stage.algo.clip_high, stage.algo.dual_clip) == (0.2, 0.3, 3.0)
        assert (stage.algo.kl_coef, stage.algo.kl_estimator) == (0.01, "k3")
        assert (stage.prompts_per_step, stage.updates_per_step) == (512, 4)
        assert (stage.prompt.min_pixels, stage.prompt.max_pixels) == (262_144, 1_204_224)
        assert stage.prompt.suffix == " Please reason step by step, and put your final answer within \\boxed{}."
        assert recipe.evaluation is not None
        assert recipe.evaluation.data.columns.question == "problem"  # from [data]
        assert (recipe.evaluation.data.split, stage.data.split) == ("test", "train")
        assert recipe.evaluation.prompt.max_pixels == 1280 * 28 * 28

    def test_missing_data_of_tiny_real_says_how_to_give_it(self) -> None:
        message = problem("tiny-real")
        assert message.startswith("data.path: missing")
        assert ".jsonl" in message and "--set data.path=VALUE" in message

    def test_eval_asks_for_model_and_data(self) -> None:
        found = problems("eval")
        assert [message.split(":")[0] for message in found] == ["model.path", "data.path"]

    def test_unknown_name_lists_the_shipped_and_the_nearest(self) -> None:
        message = problem("dmo")
        assert 'no shipped recipe "dmo"' in message
        assert "did you mean `demo`" in message
        assert all(name in message for name in SHIPPED)


class TestSharing:
    def test_stage_wins_key_by_key(self, small: str) -> None:
        sft, rl, upt = load_recipe(small).stages
        assert [s.optimizer.lr for s in (sft, rl, upt)] == [1e-4, 1e-4, 1e-5]
        assert [s.optimizer.weight_decay for s in (sft, rl, upt)] == [0.5, 0.5, 0.5]
        assert [s.data.path for s in (sft, rl, upt)] == ["all.jsonl", "rl.jsonl", "all.jsonl"]
        assert [s.data.limit for s in (sft, rl, upt)] == [7, 7, 7]
        assert (rl.rollout.group_size, rl.rollout.temperature) == (6, 0.5)
        assert (upt.rollout.group_size, upt.rollout.temperature) == (6, 0.7)

    def test_a_plain_key_is_shared_too(self, write) -> None:
        recipe = load_recipe(write("checkpoint_every = 3\n" + SMALL))
        assert [stage.checkpoint_every for stage in recipe.stages] == [3, 3, 3]

    def test_data_and_prompt_reach_the_evaluation(self, write) -> None:
        text = SMALL + '[prompt]\nsuffix = ""\n[evaluation]\nsamples = 2\n[evaluation.data]\nlimit = 5\n'
        evaluation = load_recipe(write(text)).evaluation
        assert evaluation is not None
        assert (evaluation.data.path, evaluation.data.limit, evaluation.prompt.suffix) == ("all.jsonl", 5, "")

    def test_a_shared_key_that_nothing_reads_is_a_problem(self, write) -> None:
        only_sft = SMALL.split('[[stages]]\nkind = "rl"')[0]
        message = problem(write(only_sft))
        assert message.startswith(
            "rollout: nothing in this recipe reads it (stages of kind pairs, rl, synth, targets, upt do)"
        )

    def test_shared_names_and_names_of_the_recipe_are_apart(self) -> None:
        assert not SHARED & Recipe.model_fields.keys()

    def test_a_fault_in_a_shared_table_is_told_once_and_there(self, small: str) -> None:
        assert problem(small, "optimizer.eps=-1.0").startswith(
            "optimizer.eps (given with --set): must be greater than 0"
        )

    def test_a_fault_of_a_stage_is_told_at_the_stage(self, small: str) -> None:
        assert problem(small, "stages.rl.rollout.temperature=0").startswith("stages.rl.rollout.temperature")


class TestReward:
    def test_each_kind_has_its_own(self, small: str) -> None:
        _, rl, upt = load_recipe(small).stages
        assert (rl.reward.name, upt.reward.name) == ("ground_truth", "start_vote")

    def test_other_settings_of_a_shared_reward_leave_the_names_alone(self, small: str) -> None:
        _, rl, upt = load_recipe(small, ["reward.ties=first"]).stages
        assert (rl.reward.name, upt.reward.name) == ("ground_truth", "start_vote")
        assert (rl.reward.ties, upt.reward.ties) == ("first", "first")

    def test_a_shared_name_must_fit_every_stage(self, small: str) -> None:
        assert problem(small, "reward.name=ground_truth").startswith("stages.upt: reward.name")
        assert problem(small, "reward.name=majority_vote").startswith("stages.rl: kind")

    def test_built_in_python(self) -> None:
        stage = GrpoStage.model_validate(
            {"kind": "rl", "name": "rl", "steps": 1, "data": {"path": "x"}, "reward": RewardSettings(ties="first")}
        )
        assert (stage.reward.name, stage.reward.ties) == ("ground_truth", "first")
        with pytest.raises(ValidationError, match="learns from labels"):
            GrpoStage.model_validate(
                {"kind": "rl", "name": "rl", "steps": 1, "data": {"path": "x"}, "reward": {"name": "majority_vote"}}
            )


class TestOverrides:
    def test_values_are_toml_or_else_plain_text(self, small: str) -> None:
        recipe = load_recipe(
            small,
            ["seed=3", "data.path=/a/b.jsonl", "optimizer.lr=1e-5", 'model.freeze=["vision"]', "run_dir=true love"],
        )
        assert (recipe.seed, recipe.model.freeze, recipe.run_dir) == (3, ("vision",), "true love")
        assert recipe.stages[0].data.path == "/a/b.jsonl"
        assert recipe.stages[0].optimizer.lr == 1e-5

    def test_precedence_default_shared_stage_override(self, small: str) -> None:
        """default < shared table < stage table; an override stands where the key stands, and the last one wins."""
        recipe = load_recipe(small, ["optimizer.lr=2e-4", "optimizer.lr=3e-4", "stages.rl.optimizer.eps=1e-6"])
        sft, rl, upt = recipe.stages
        assert [s.optimizer.lr for s in (sft, rl, upt)] == [3e-4, 3e-4, 1e-5]
        assert [s.optimizer.eps for s in (sft, rl, upt)] == [1e-8, 1e-6, 1e-8]
        assert load_recipe(small, ["stages.upt.optimizer.lr=1e-3"]).stages[2].optimizer.lr == 1e-3

    def test_a_stage_by_index(self, small: str) -> None:
        assert load_recipe(small, ["stages.2.steps=9"]).stages[2].steps == 9

    def test_a_stage_with_a_dot_in_its_name(self, small: str) -> None:
        recipe = load_recipe(small, ["stages.2.name=v1.2", 'stages."v1.2".steps=9'])
        assert (recipe.stages[2].name, recipe.stages[2].steps) == ("v1.2", 9)
        assert problem(small, "stages.2.name=v1.2", "stages.2.steps=0").startswith('stages."v1.2".steps')

    def test_makes_tables_on_the_way(self, small: str) -> None:
        lora = load_recipe(small, ["model.lora.rank=4"]).model.lora
        assert lora is not None and lora.rank == 4

    def test_none_switches_off(self, small: str) -> None:
        recipe = load_recipe(small, ["algo.dual_clip=none", "model.lora.rank=4", "model.lora=none", "data.limit=none"])
        assert recipe.stages[1].algo.dual_clip is None
        assert recipe.model.lora is None
        assert recipe.stages[0].data.limit is None
        assert load_recipe("demo", ["evaluation=none"]).evaluation is None

    @pytest.mark.parametrize(
        "value", ["plain", "true", "3", 'a"b', "back\\slash", "[x", "two\nlines", "", "a=b", "ünï"]
    )
    def test_assignment_keeps_any_text(self, value: str) -> None:
        (override,), wrong = parse_overrides([assignment("data.path", value)])
        assert (override.names, override.value, wrong) == (("data", "path"), value, [])

    def test_a_line_break_cannot_smuggle_in_a_second_key(self, small: str) -> None:
        assert load_recipe(small, ['run_dir="a"\nseed = 5']).seed == 0

    @pytest.mark.parametrize(
        ("override", "told"),
        [
            ("optimizer.lr", "no `=` in it"),
            ("a b=1", "`a b` is not a key"),
            ("=1", "`` is not a key"),
            ("seed=", "no value after `=`"),
            ("model.freeze=[vision]", "not valid TOML"),
            ("name.x=1", "`name` is 'small', not a table"),
            ("stages.uptt.steps=1", "did you mean `upt`?"),
            ("stages.7.steps=1", "Stages: sft, rl, upt"),
            ("stages.upt=1", "name one of its keys"),
        ],
    )
    def test_bad_ones_are_quoted_and_explained(self, small: str, override: str, told: str) -> None:
        message = problem(small, override)
        assert message.startswith(f"--set {override}: ")
        assert told in message

    def test_one_that_reaches_nobody_is_a_problem(self) -> None:
        message = problem("demo", "data.path=mine.jsonl")
        assert message.startswith("data.path (given with --set): has no effect")
        assert "stages.upt.data.path" in message and "evaluation.data.path" in message


class TestMessages:
    @pytest.mark.parametrize(
        ("override", "told"),
        [
            ("seed=x", ['seed (given with --set): must be a whole number, not "x"']),
            ("seed=-1", ["seed", "must be at least 0, not -1"]),
            ("seed=1.5", ["seed", "must be a whole number, not 1.5"]),
            ("seed=true", ["seed", "must be a whole number, not true"]),
            ("model.dtype=bfloat61", ["model.dtype", '"float32" or "bfloat16"', 'not "bfloat61"', 'mean "bfloat16"?']),
            ('model.freeze=["visio"]', ["model.freeze[0]", '"vision", "projector" or "language"', 'mean "vision"?']),
            ("model.freeze=vision", ["model.freeze", "must be a list", 'not "vision"']),
            ("model.lora.dropout=0.1", ["model.lora.dropout", "unknown key", "alpha, rank, targets"]),
            ("model.lora.targets=[]", ["model.lora.targets", "at least 1 entries, not []"]),
            ('model.path=""', ["model.path", "must not be empty"]),
            ("optimizer.eps=nan", ["optimizer.eps", "must be a finite number, not nan"]),
            ("optimizer.eps=small", ["optimizer.eps", 'must be a number, not "small"']),
            ("optimizer.betas=[0.9]", ["optimizer.betas", "too few entries: [0.9]"]),
            ("optimizer.betas=[0.9, 0.9, 0.9]", ["optimizer.betas", "at most 2 entries"]),
            ("model.gradient_checkpointing=1", ["model.gradient_checkpointing", "must be true or false, not 1"]),
            ("data.split=1", ["data.split", "must be text in quotes, not 1"]),
            ("rollout=3", ["rollout", "must be a table of keys, not 3"]),
            ("answers.extract=box", ["answers.extract", '"boxed", "lenient" or "tag:NAME"', 'not "box"']),
            ("name=a b", ["name", "letters, digits", 'not "a b"']),
            ("prompt.min_pixels=2000000", ["prompt", "min_pixels 2000000 is larger than max_pixels 1204224"]),
            (
                "stages.upt.kind=ppo",
                ["stages.upt.kind", '"sft", "rl", "upt", "dpo", "synth", "targets", "pairs", "eval"', 'not "ppo"'],
            ),
            ("stages.rl.updates_per_step=99", ["stages.rl", "updates_per_step 99 is larger than prompts_per_step 8"]),
        ],
    )
    def test_key_value_and_choices(self, small: str, override: str, told: list[str]) -> None:
        message = problem(small, override)
        assert all(part in message for part in told), message

    @pytest.mark.parametrize(
        ("override", "key", "meant", "known"),
        [
            ("stages.upt.optimizer.learning_rate=1", "stages.upt.optimizer.learning_rate", "`lr`", "weight_decay"),
            ("stages.upt.optimizer.wieght_decay=1", "stages.upt.optimizer.wieght_decay", "`weight_decay`", "lr"),
            ("rollout.goup_size=1", "rollout.goup_size", "`group_size`", "temperature"),
            ("stages.upt.group_size=4", "stages.upt.group_size", "`rollout.group_size`", "rollout"),
            ("group_size=4", "group_size", "`rollout.group_size`", "rollout"),
            ("wold.seed=4", "wold", "`world`", "optimizer"),
            ("data.columns.pictures=4", "data.columns.pictures", "Known", "images"),
        ],
    )
    def test_unknown_key(self, small: str, override: str, key: str, meant: str, known: str) -> None:
        message = problem(small, override)
        assert message.startswith(f"{key} (given with --set): unknown key")
        assert meant in message and known in message.split("Known: ")[1]

    def test_the_file_is_named_and_the_command_line_is_not_blamed(self, write) -> None:
        file = write(SMALL.replace("steps = 2", "steps = 0"))
        with pytest.raises(ConfigError) as caught:
            load_recipe(file)
        assert str(caught.value) == f"{file}: stages.rl.steps: must be at least 1, not 0"

    def test_all_at_once(self, write) -> None:
        text = (
            SMALL.replace("steps = 2", "steps = 0")
            .replace("group_size = 6", "group_sise = 6")
            .replace('"rl"\nst', '"sft"\nst')
        )
        text += '[[stages]]\nkind = "eval"\nname = "look"\n'
        found = problems(write(text), "seed=x", "nothing", "stages.nobody.x=1", "steps=3")
        for part in [
            "--set nothing",
            "stages.nobody.x",
            "seed (given with --set): must be a whole number",
            "rollout.group_sise: unknown key; did you mean `group_size`?",
            "steps: must be at least 1",
            '2 stages are named "sft"',
            "stages.look: an eval stage needs the table [evaluation]",
            "steps (given with --set): has no effect",
        ]:
            assert sum(part in message for message in found) == 1, (part, found)
        assert len(found) == 8, found

    def test_missing_keys_all_at_once(self, write) -> None:
        found = problems(
            write('[[stages]]\nkind = "upt"\n[[stages]]\nname = "b"\n[[stages]]\nkind = "sft"\nname = "c"')
        )
        keys = [message.split(":")[0] for message in found]
        assert sorted(keys) == sorted(
            ["name", "model.path", "stages.0.name", "stages.0.steps", "data.path", "stages.b.kind"]
        )
        assert all("missing" in message for message in found)

    def test_no_stages(self, write) -> None:
        head = 'name = "x"\n[model]\npath = "m"\n'
        assert problem(write(head)).startswith("stages: missing")
        assert problem(write("stages = []\n" + head)) == "stages: must have at least 1 entries, not []"
        assert problem(write("stages = 3\n" + head)).startswith("stages: must be a list")
        assert problem(write("stages = [3]\n" + head)).startswith("stages.0: must be a table")

    @pytest.mark.parametrize("name", ["base", "evaluation"])
    def test_reserved_stage_names(self, small: str, name: str) -> None:
        assert f'the name "{name}" is taken' in problem(small, f"stages.upt.name={name}")

    def test_broken_toml_names_the_place_and_bad_overrides_as_well(self, write) -> None:
        found = problems(write('name = "x"\nseed 3\n'), "nothing")
        assert "line 2" in found[0] and "not valid TOML" in found[0]
        assert found[1].startswith("--set nothing")

    def test_a_key_given_twice(self, write) -> None:
        assert "not valid TOML" in problem(write("seed = 1\nseed = 2\n"))

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        assert "No such file" in problem(str(tmp_path / "none.toml"))
        (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
        assert "not UTF-8 text at byte 8" in problem(str(tmp_path / "latin.toml"))
        (tmp_path / "folder.toml").mkdir()
        assert "cannot read" in problem(str(tmp_path / "folder.toml"))

    def test_pydantics_own_wording_never_shows(self, small: str) -> None:
        """Every value of a resolved recipe is replaced by values of every other type."""
        text = SMALL + "[model.lora]\n[evaluation]\n"
        Path(small).write_text(text, encoding="utf-8")
        resolved = tomllib.loads(dump_recipe(load_recipe(small)))
        junk = ["1", "-1", "0.5", "true", '"?"', '""', "[]", '["?"]', "[1, 2, 3]", "{}", "{x = 1}", "1979-05-27", "nan"]
        leaks = ["Input should", "pydantic", "https://", "Value error", "different kind", "_type", "Field required"]
        Path(small).write_text(dump_recipe(load_recipe(small)), encoding="utf-8")
        faults = 0
        for key in _keys(resolved):
            parts = key.split(".")
            place = ".".join(parts[:2]) if parts[0] == "stages" else parts[0]
            for value in junk:
                try:
                    load_recipe(small, [f"{key}={value}"])
                except ConfigError as error:
                    faults += 1
                    text = "\n".join(error.problems)
                    assert not [leak for leak in leaks if leak in text], (key, value, text)
                    assert text.startswith((place, "stages", "data.path: missing")), (key, value, text)
        assert faults > 500


def _keys(table: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in table.items():
        if key == "stages":
            for stage in value:
                yield from _keys(stage, f"stages.{stage['name']}.")
            continue
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


class TestDump:
    def test_with_everything_set(self, write, small: str) -> None:
        changed = ["algo.dual_clip=none", "model.lora.rank=4", 'model.freeze=["vision", "projector"]', "run_dir=a b"]
        recipe = load_recipe(small, [*changed, assignment("prompt.suffix", 'quote " \\boxed{}\n\tü <b>')])
        assert recipe.stages[0].prompt.suffix == 'quote " \\boxed{}\n\tü <b>'
        text = dump_recipe(recipe)
        assert load_recipe(write(text)) == recipe
        assert 'dual_clip = "none"' in text

    def test_is_complete_and_has_no_shared_tables(self, small: str) -> None:
        table = tomllib.loads(dump_recipe(load_recipe(small)))
        assert not SHARED & table.keys()
        for stage in table["stages"]:
            model = SftStage if stage["kind"] == "sft" else GrpoStage
            assert stage.keys() == model.model_fields.keys()
        assert "run_dir" not in table  # None is left out


class TestWords:
    def test_nearest(self) -> None:
        assert nearest("learning_rate", ["lr", "eps"]) == "lr"
        assert nearest("temprature", ["temperature", "top_p"]) == "temperature"
        assert nearest("zzz", ["lr"]) is None

    def test_show_is_toml_and_short(self) -> None:
        assert [show(v) for v in ("a", True, 1e-5, [1, "b"], {"k": 1})] == [
            '"a"',
            "true",
            "1e-05",
            '[1, "b"]',
            "a table",
        ]
        assert len(show("x" * 500)) == 80


def test_settings_read_none_only_where_it_is_allowed() -> None:
    assert AlgoSettings.model_validate({"dual_clip": "none"}).dual_clip is None
    with pytest.raises(ValidationError):
        AlgoSettings.model_validate({"clip_low": "none"})


def test_every_settings_class_is_strict_and_frozen() -> None:
    def all_below(cls: type[Settings]) -> Iterator[type[Settings]]:
        for below in cls.__subclasses__():
            yield below
            yield from all_below(below)

    for cls in all_below(Settings):
        config = cls.model_config
        assert (config["extra"], config["frozen"], config["strict"]) == ("forbid", True, True), cls


def test_reading_recipes_imports_no_torch() -> None:
    load = "import sys, mmupt.recipe; mmupt.recipe.load_recipe('demo')"
    code = f"{load}; sys.exit(bool({{'torch', 'transformers'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
