"""The start model of a label-free stage, asked before the run: what `mmupt probe` shows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmupt.errors import DataError
from mmupt.recipe import Recipe
from mmupt.recipe.choosing import choose_stage
from mmupt.train.settings import GrpoStage, SftStage

if TYPE_CHECKING:
    from mmupt.guard.probe.asking import Probed
    from mmupt.guard.probe.report import ProbeReport
    from mmupt.guard.probe.truth import Truth
    from mmupt.types import LabeledPrompt


@dataclass(frozen=True, slots=True)
class StageProbe:
    """The probe of a stage with `samples` answers a prompt; `skipped` prompts could not be put to the model. `earlier`
    names the training stages that come before and that `model` has not been through. `asked` is what the report was
    made of; `truth` is what labels say of it, where they were asked for."""

    stage: GrpoStage
    model: str
    samples: int
    skipped: int
    earlier: tuple[str, ...]
    report: ProbeReport
    asked: tuple[Probed, ...] = field(repr=False)
    truth: Truth | None = None

    def as_json(self) -> dict[str, Any]:
        """`truth` has no key where no labels were asked for."""
        found: dict[str, Any] = {
            "stage": self.stage.name,
            "model": self.model,
            "earlier_stages": list(self.earlier),
            "asked": len(self.report.evidence),
            "skipped": self.skipped,
            "samples": self.samples,
            **self.report.as_json(),
        }
        return {**found, "truth": self.truth.as_json()} if self.truth is not None else found


def choose_upt_stage(recipe: Recipe, name: str | None) -> GrpoStage:
    """The label-free stage called `name`, the last one without a name. ConfigError lists the choices."""
    stages = [stage for stage in recipe.stages if isinstance(stage, GrpoStage) and stage.kind == "upt"]
    return choose_stage(recipe, stages, name, which='of kind "upt"', otherwise="there is no vote to probe")


def stage_labels(recipe: Recipe, stage: GrpoStage) -> dict[str, LabeledPrompt]:
    """The gold answers of a stage's data, by prompt id. Nothing but `--labels` calls this. Raises DataError where there
    are none."""
    from mmupt.sources import labeled_rows

    return {row.prompt.id: row for row in labeled_rows(stage.data, recipe.world).rows}


def probe_stage(
    recipe: Recipe,
    stage: GrpoStage,
    *,
    prompts: int = 200,
    samples: int | None = None,
    labels: Mapping[str, LabeledPrompt] | None = None,
) -> StageProbe:
    """Ask the recipe's start model up to `prompts` prompts of `stage`, each `samples` times (the stage's group size
    unless told) and as often on another view of its picture. What is found does not depend on `labels`: they are
    looked at when everything else is done. Progress goes to standard error. Raises what a run raises."""
    from mmupt.engines.base import Sampling
    from mmupt.engines.choice import Engines
    from mmupt.guard.probe.asking import Asking, choose
    from mmupt.guard.probe.report import probe_report
    from mmupt.guard.probe.truth import truth
    from mmupt.models.encoding import PromptEncoder
    from mmupt.models.loading import load_model
    from mmupt.preflight import preflight
    from mmupt.runtime.phases import PhaseClock
    from mmupt.runtime.progress import Progress
    from mmupt.runtime.seeds import derive_seed

    alone = recipe.model_copy(update={"stages": (stage,), "evaluation": None})
    rollout = stage.rollout
    with Progress(sys.stderr) as progress, preflight(alone) as ready, Engines() as engines:
        loaded = load_model(ready.model_path, recipe.model, ready.device)
        asking = Asking(
            encoder=PromptEncoder(loaded.family, stage.prompt),
            engine=engines.of(rollout, stage.prompt, PhaseClock())(loaded),
            sampling=Sampling(rollout.temperature, rollout.top_p, rollout.max_new_tokens),
            samples=samples or rollout.group_size,
            answers=stage.answers,
            reward=stage.reward,
            at_once=rollout.prompts_at_once,
            seed=derive_seed(recipe.seed, "probe"),
        )
        chosen = choose(ready.blind[stage.name].rows, prompts, seed=asking.seed)
        progress.note(f"{stage.name}: asking {recipe.model.path} {len(chosen)} questions, {asking.samples} times each")
        progress.stage("probe", len(chosen))
        asked = asking.ask(chosen, lambda done: progress.advance(done, len(chosen)))
    if not asked:
        raise DataError(f"{stage.data.path}: none of {len(chosen)} prompts can be put to the model")
    report = probe_report([probed.evidence for probed in asked], seed=asking.seed)
    found = truth(report, asked, labels, stage.answers) if labels is not None else None
    earlier = tuple(s.name for s in recipe.stages[: recipe.stages.index(stage)] if isinstance(s, SftStage | GrpoStage))
    skipped = len(chosen) - len(asked)
    return StageProbe(stage, recipe.model.path, asking.samples, skipped, earlier, report, tuple(asked), found)
