"""The runs: their recipes are there and check, starts come first, and the tables ask for runs that exist."""

from __future__ import annotations

import pytest

from mmupt.recipe import load_recipe, shipped_recipes
from mmupt.reproduce import paper
from mmupt.reproduce.claims import ORDERINGS, TRENDS
from mmupt.reproduce.runs import RUNS, Case, cases, waves
from mmupt.reproduce.tables import CHOICES, TABLES, runs_of
from mmupt.train.settings import GrpoStage, SftStage

MINI = {recipe.name for recipe in shipped_recipes() if recipe.name.startswith("mini/")}
PAPER = {recipe.name for recipe in shipped_recipes() if recipe.name.startswith("paper/")}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_changes_its_recipe_only_in_ways_that_check(name: str) -> None:
    case = Case(RUNS[name], 1)
    recipe = load_recipe(case.run.recipe, [*case.sets, "model.path=m", "run_dir=r"])
    assert (recipe.seed, recipe.world.seed) == (1, 1)
    assert recipe.evaluation is not None and recipe.evaluation.samples == 10


def test_every_miniature_is_used() -> None:
    assert {run.recipe for run in RUNS.values()} == MINI


def test_every_table_of_the_paper_has_a_recipe_for_real_models() -> None:
    assert {f"paper/table{n}" for n in range(1, 8)} | {"paper/figure2"} <= PAPER


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "figure2", "table7"])
def test_training_recipes_of_the_paper_have_its_settings(name: str) -> None:
    recipe = load_recipe(f"paper/{name}")
    (stage,) = (stage for stage in recipe.stages if isinstance(stage, GrpoStage))
    assert stage.reward.name == "majority_vote"
    assert (stage.rollout.group_size, stage.rollout.temperature, stage.rollout.top_p) == (10, 0.7, 0.99)
    assert (stage.optimizer.lr, stage.algo.kl_coef, stage.algo.clip_high) == (1e-6, 0.01, 0.3)
    assert (stage.prompts_per_step, stage.updates_per_step, stage.steps) == (512, 4, 80)
    assert not stage.guard.enabled or stage.guard.actions == ("warn",)
    assert recipe.evaluation is not None and recipe.evaluation.temperature == 0.2


@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("table1", ["data.path=hub:WaltonFuture/GEOQA_R1V_Train_8K"]),
        ("table1", ["data.path=hub:MMR1/MMR1-Math-RL-Data-v0"]),
        ("table2", ["data.path=hub:WaltonFuture/MMR1-in-context-synthesizing"]),
        ("table3", ["model.path=FanqingM/MM-Eureka-Qwen-7B", 'prompt.system="Think."']),
        ("table4", ["stages.upt.guard.enabled=true"]),
        ("table5", ["model.path=runs/table1/checkpoints/upt/step-000080", "run_dir=runs/table5-upt"]),
    ],
)
def test_other_rows_of_the_papers_tables_are_a_set_away(name: str, sets: list[str]) -> None:
    assert load_recipe(f"paper/{name}", sets) != load_recipe(f"paper/{name}")


def test_the_models_that_recipes_name_are_those_that_their_starts_make() -> None:
    """`mmupt run mini/start`, then any of the others, goes through by hand."""
    for name, rows in (("upt", 6000), ("hard", 3000)):
        start = load_recipe("mini/start", [f"world.sft_size={rows}"])
        (stage,) = start.stages
        assert isinstance(stage, SftStage)
        steps = -(-rows * stage.epochs // stage.batch_size)
        assert load_recipe(f"mini/{name}").model.path.endswith(f"/checkpoints/sft/step-{steps:06d}")


def test_all_that_train_without_labels_take_as_many_steps_at_the_same_rate() -> None:
    for name in ("upt", "upt-default", "grpo", "direct", "in-context", "hard"):
        stage = load_recipe(f"mini/{name}").stages[-1]
        assert isinstance(stage, GrpoStage)
        assert (stage.steps, stage.prompts_per_step, stage.rollout.group_size, stage.optimizer.lr) == (60, 24, 12, 3e-5)


def test_a_case_brings_what_it_begins_with_and_starts_come_first() -> None:
    wanted = cases(["upt-families-charts", "lmsi", "upt"], seeds=2, other_seeds=1)
    keys = [case.key for case in wanted]
    assert keys == ["seed-0/families", "seed-0/upt-families", "seed-0/upt-families-charts", "seed-0/start",
                    "seed-0/lmsi", "seed-0/upt", "seed-1/start", "seed-1/upt"]  # fmt: skip
    assert [[case.key for case in wave] for wave in waves(wanted)] == [
        ["seed-0/families", "seed-0/start", "seed-1/start"],
        ["seed-0/upt-families", "seed-0/lmsi", "seed-0/upt", "seed-1/upt"],
        ["seed-0/upt-families-charts"],
    ]


def test_the_runs_that_the_issue_wants_thrice_are_main() -> None:
    assert {"start", "upt", "grpo", "direct", "in-context"} <= {run.name for run in RUNS.values() if run.main}


def test_tables_orderings_and_runs_belong_together() -> None:
    shown = {name for key in CHOICES for name in runs_of(key)}
    assert shown == set(RUNS)
    for ordering in ORDERINGS:
        for which in (ordering.higher, ordering.lower):
            assert which.partition(":")[0] in shown
    assert all(RUNS[trend.run].curves for trend in TRENDS)


def test_rows_are_as_wide_as_their_tables() -> None:
    for table in TABLES.values():
        assert all(len(row.paper) == len(table.paper_columns) for row in table.rows), table.key
        assert len({(row.label, row.run) for row in table.rows}) == len(table.rows)


def test_every_method_of_the_paper_has_its_row() -> None:
    rows = {row.paper for key in ("1", "2") for row in TABLES[key].rows}
    assert {paper.means(method) for method in paper.TRAINED} <= rows


def test_means_of_the_paper_are_means() -> None:
    """Of the four benchmarks, as the paper rounds them: a slip in copying would show."""
    for method, on_sets in (("start", (paper.START,)), *paper.TRAINED.items()):
        for accuracies in on_sets:
            assert abs(sum(accuracies[:4]) / 4 - accuracies[4]) < 0.011, (method, accuracies)
