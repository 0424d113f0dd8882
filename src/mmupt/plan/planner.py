"""A recipe on a cluster: does it fit, how long does a step take, what bounds it, what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmupt.errors import ConfigError
from mmupt.plan.advice import advice_for
from mmupt.plan.architecture import Architecture
from mmupt.plan.assumptions import Assumptions
from mmupt.plan.gpus import Cluster
from mmupt.plan.memory import Setting, memories
from mmupt.plan.stage import StagePlan, fewest_as_fast, smallest_that_fits
from mmupt.plan.times import phase_times
from mmupt.plan.workload import Given, StageWork, not_counted, stage_work, training_stages
from mmupt.recipe import Recipe
from mmupt.runtime.settings import Layout


@dataclass(frozen=True, slots=True)
class Plan:
    """`not_counted` names what the recipe does besides."""

    recipe: Recipe
    model: Architecture
    model_path: str
    setting: Setting
    stages: tuple[StagePlan, ...]
    not_counted: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return all(stage.fits for stage in self.stages)

    @property
    def gpu_hours(self) -> float | None:
        """Of all training stages; None where the steps of one are not known."""
        hours = [stage.gpu_hours for stage in self.stages]
        return None if None in hours else sum(hour for hour in hours if hour is not None)


def plan_recipe(
    recipe: Recipe,
    model: Architecture,
    model_path: str,
    cluster: Cluster,
    *,
    layout: Layout | None = None,
    assumptions: Assumptions | None = None,
    tensor_parallel: int | None = None,
    offload: bool | None = None,
    given: Given | None = None,
) -> Plan:
    """Layout and offload are the recipe's `[processes]`, unless they are given. ConfigError where the recipe trains
    nothing, or the engine's cards do not divide a node's."""
    stages = training_stages(recipe)
    if not stages:
        raise ConfigError("a plan is about training, and the recipe has no stage of kind sft, rl, upt or dpo")
    base = Setting(
        model,
        recipe.model,
        cluster,
        layout or recipe.processes.layout,
        assumptions or Assumptions(),
        checkpointing=recipe.model.gradient_checkpointing,
        offload=recipe.processes.cpu_offload if offload is None else offload,
    )
    plans = []
    for stage in stages:
        work = stage_work(stage, recipe, model, given or Given())
        engine = work.rollout.vllm.tensor_parallel if work.rollout is not None and work.rollout.engine == "vllm" else 1
        if work.rollout is not None and work.rollout.engine == "vllm" and tensor_parallel is not None:
            engine = tensor_parallel
        if min(cluster.gpus, cluster.gpus_per_node) % engine:
            raise ConfigError(
                f"tensor parallel {engine}: does not divide the {min(cluster.gpus, cluster.gpus_per_node)} GPUs of a "
                "node; give a divisor of them"
            )
        plans.append(plan_stage(replace(base, tensor_parallel=engine), work))
    return Plan(recipe, model, model_path, base, tuple(plans), tuple(not_counted(recipe)))


def plan_stage(setting: Setting, work: StageWork) -> StagePlan:
    bare = StagePlan(
        work=work,
        setting=setting,
        memories=memories(setting, work),
        phases=tuple(phase_times(setting, work)),
        smallest=smallest_that_fits(setting, work),
        enough=fewest_as_fast(setting, work),
        advice=(),
    )
    return replace(bare, advice=tuple(advice_for(bare)))


def compare_gpus(setting: Setting, work: StageWork, counts: Sequence[int]) -> list[StagePlan]:
    """The same stage on other numbers of GPUs."""
    return [plan_stage(replace(setting, cluster=replace(setting.cluster, gpus=count)), work) for count in counts]
