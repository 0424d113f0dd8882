"""A recipe's stage of kind `synth` by itself: what `mmupt synth` does."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmupt.errors import RunFolderError
from mmupt.recipe import Recipe
from mmupt.recipe.choosing import choose_stage
from mmupt.synth.settings import SynthStage

if TYPE_CHECKING:
    from mmupt.synth.report import SynthReport


def choose_synth_stage(recipe: Recipe, name: str | None) -> SynthStage:
    """The stage called `name` that writes questions, the last one without a name. ConfigError lists the choices."""
    stages = [stage for stage in recipe.stages if isinstance(stage, SynthStage)]
    return choose_stage(recipe, stages, name, which='of kind "synth"', otherwise="the shipped recipe `synth` has one")


def run_synth_stage(
    recipe: Recipe, stage: SynthStage, folder: Path, *, resume: bool = False, overwrite: bool = False
) -> SynthReport:
    """Let the recipe's start model write the questions of `stage` into `folder`, which must not exist or be empty.

    With `resume`, what an interrupted call has put there is taken over; with `overwrite`, what an earlier one has put
    there is deleted first. Progress goes to standard error. Raises what a run raises; RunFolderError for a folder that
    holds anything else.
    """
    from mmupt.engines.choice import Engines
    from mmupt.models.encoding import PromptEncoder
    from mmupt.models.loading import load_model
    from mmupt.preflight import preflight
    from mmupt.runtime.files import remove_temporaries
    from mmupt.runtime.lock import FolderLock
    from mmupt.runtime.phases import PhaseClock
    from mmupt.runtime.progress import Progress
    from mmupt.stages.work import stage_seed
    from mmupt.synth.stage import SynthFolder, write_questions

    _check_folder(folder, resume=resume, overwrite=overwrite)
    alone = recipe.model_copy(update={"stages": (stage,), "evaluation": None})
    with Progress(sys.stderr) as progress, preflight(alone) as ready, Engines() as engines:
        loaded = load_model(ready.model_path, recipe.model, ready.device)
        rows = ready.labeled[stage.name].rows if stage.reads == "labels" else ready.blind[stage.name].rows
        for name, count in ready.skipped.items():
            progress.note(f'{name}: {count} rows cannot be used and are left out (bad_rows = "skip")')
        progress.note(f"{stage.name}: {recipe.model.path} writes questions about {len(rows)} rows of {stage.data.path}")
        if overwrite and SynthFolder(folder).begun.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        try:
            remove_temporaries(folder)
            return write_questions(
                stage,
                rows,
                PromptEncoder(loaded.family, stage.prompt),
                engines.of(stage.rollout, stage.prompt, PhaseClock(), stage.writing.max_new_tokens)(loaded),
                folder,
                model=recipe.model.path,
                seed=stage_seed(recipe, stage.name),
                progress=progress,
            )
        finally:
            lock.release()


def _check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    from mmupt.synth.stage import SynthFolder

    begun = SynthFolder(folder).begun.exists()
    if resume and not begun:
        raise RunFolderError(f"{folder}: there is nothing to resume; check the path, or start without --resume")
    if begun and not (resume or overwrite):
        raise RunFolderError(
            f"{folder}: already holds questions. Continue with --resume, replace them with --overwrite, or choose "
            "another folder with --out DIR"
        )
    if not begun and folder.exists() and (not folder.is_dir() or any(file.name != "lock" for file in folder.iterdir())):
        raise RunFolderError(f"{folder}: is not an empty folder; choose a new or an empty one with --out DIR")
