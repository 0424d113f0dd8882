"""A few steps of one stage of a recipe, run for their metrics alone: what `mmupt profile` shows."""

from __future__ import annotations

import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmupt.recipe import Recipe
from mmupt.recipe.choosing import choose_stage
from mmupt.report.profile import ADVICE, Profile, read_profile
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.runtime.phases import PhaseClock
from mmupt.train.settings import DpoStage, GrpoStage, SftStage, TrainingStage


@dataclass(frozen=True, slots=True)
class StageProfile:
    """The profile of a stage; `warm_up` steps came before those it was made of."""

    stage: TrainingStage
    model: str
    profile: Profile
    warm_up: int

    def as_json(self) -> dict[str, Any]:
        """Seconds and tokens are per step, memory in bytes, the ceiling in FLOP/s; null where unknown."""
        profile = self.profile
        return {
            "stage": self.stage.name,
            "kind": self.stage.kind,
            "model": self.model,
            "steps": profile.steps,
            "warm_up_steps": self.warm_up,
            "seconds": profile.seconds,
            "tokens": profile.tokens,
            "tokens_per_second": profile.tokens_per_second,
            "floor_fraction": profile.floor_fraction,
            "matmul_ceiling": profile.ceiling,
            "peak_memory_bytes": profile.peak_memory,
            "peak_cuda_memory_bytes": profile.peak_cuda_memory,
            "phases": {
                cost.phase: {
                    "seconds": cost.seconds,
                    "share": cost.share,
                    "tokens": cost.tokens,
                    "tokens_per_second": cost.tokens_per_second,
                    "floor_fraction": cost.floor_fraction,
                }
                for cost in profile.phases
            },
            "largest": [
                {"phase": cost.phase, "share": cost.share, "advice": ADVICE[cost.phase]} for cost in profile.largest
            ],
        }


def profile_stage(recipe: Recipe, stage: TrainingStage, steps: int) -> StageProfile:
    """Run `steps` steps of `stage` from the recipe's start model, in a run folder that is gone afterwards, and read
    their metrics. The first step warms up and is left out where there are others. What the run says goes to standard
    error. Raises what a run raises."""
    from mmupt.pipeline import run_recipe

    with tempfile.TemporaryDirectory(prefix="mmupt-profile-") as folder, redirect_stdout(sys.stderr):
        run = run_recipe(rehearsal(recipe, stage, steps, Path(folder) / "run"), rehearsal=PhaseClock(synchronise=True))
        records = read_metrics(RunLayout(run).metrics)
    warm_up = 1 if len(records) > 1 else 0
    profile = read_profile(records[warm_up:])
    if profile is None:
        raise RuntimeError("the steps were run, but their metrics hold no phases")
    return StageProfile(stage, recipe.model.path, profile, warm_up)


def choose_training_stage(recipe: Recipe, name: str | None) -> TrainingStage:
    """The training stage called `name`; without a name the last that samples, or else the last that trains. ConfigError
    lists the choices."""
    stages = [stage for stage in recipe.stages if isinstance(stage, TrainingStage)]
    sampling = [stage for stage in stages if isinstance(stage, GrpoStage)]
    among = sampling if name is None and sampling else stages
    return choose_stage(recipe, among, name, which="that trains", otherwise="there is nothing to profile")


def rehearsal(recipe: Recipe, stage: TrainingStage, steps: int, run_dir: Path) -> Recipe:
    """`recipe` cut down to `steps` steps of `stage` (fewer in sft and dpo where the rows do not suffice), with no
    measurements and no checkpoint on the way."""
    if isinstance(stage, SftStage | DpoStage):
        enough = steps * stage.batch_size
        limit = enough if stage.data.limit is None else min(stage.data.limit, enough)
        data = stage.data.model_copy(update={"limit": limit})
        changed: dict[str, Any] = {"epochs": 1, "data": data}
    else:
        changed = {"steps": steps}
    short = stage.model_copy(update={**changed, "checkpoint_every": steps + 1})
    return recipe.model_copy(update={"stages": (short,), "evaluation": None, "run_dir": str(run_dir)})
