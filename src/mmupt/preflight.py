"""Everything that can be known before anything is written: device, model, rows, lengths. What fails here leaves no
trace of the run on the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmupt.data.dataset import DataSet
from mmupt.data.settings import PromptSettings
from mmupt.engines.choice import check_engine
from mmupt.errors import DataError
from mmupt.evals.sets import EvaluationSet
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.families.base import Family
from mmupt.models.loading import load_family
from mmupt.recipe import Recipe
from mmupt.runtime.device import pick_device
from mmupt.sources import blind_prompts, evaluation_sets, labeled_rows
from mmupt.train.settings import EvalStage, GrpoStage, SftStage
from mmupt.types import LabeledPrompt, Prompt
from mmupt.world.texts import world_texts
from mmupt.world.tiny_model import build_tiny_model

WORLD_MODEL = "world:tiny"
_LENGTHS_CHECKED = 5_000
"""Prompts a source whose length is checked before the run; the others are when they come up."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run starts with: the folder or id of its model, the rows of every stage by name, and what the model is
    measured on."""

    device: torch.device
    model_path: str
    blind: dict[str, DataSet[Prompt]] = field(default_factory=dict)
    labeled: dict[str, DataSet[LabeledPrompt]] = field(default_factory=dict)
    sets: list[EvaluationSet] = field(default_factory=list)

    @property
    def skipped(self) -> dict[str, int]:
        """Rows left out, by stage, and those of evaluation sets by the set's name."""
        found: dict[str, DataSet[Prompt] | DataSet[LabeledPrompt]] = {**self.blind, **self.labeled}
        found |= {f"{EVALUATION} on {questions.name}": questions.rows for questions in self.sets}
        return {name: len(data.skipped) for name, data in found.items() if data.skipped}


EVALUATION = "evaluation"
"""How the rows left out of an evaluation are called; no stage may have this name."""


@contextmanager
def preflight(recipe: Recipe) -> Iterator[Preflight]:
    """Check and load. A tiny model is built in a temporary folder, which lives as long as the context."""
    device = pick_device(recipe.model.device)
    folder = Path(tempfile.mkdtemp(prefix="mmupt-"))
    try:
        path = recipe.model.path
        if path == WORLD_MODEL:
            path = str(build_tiny_model(folder / "start", world_texts(recipe.world), recipe.seed))
        ready = Preflight(device, path)
        family = load_family(path, recipe.model)
        for stage in recipe.stages:
            _load_stage(stage, recipe, family, ready)
        if (evaluation := recipe.evaluation) is not None:
            for questions in evaluation_sets(evaluation, recipe.world):
                ready.sets.append(questions)
                prompts = [row.prompt for row in questions.rows.rows]
                _check_lengths(questions.name, prompts, questions.bad_rows, evaluation.prompt, family)
        yield ready
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load_stage(stage: SftStage | GrpoStage | EvalStage, recipe: Recipe, family: Family, ready: Preflight) -> None:
    """`upt` gets prompts, and only prompts; nothing that holds its labels is ever made."""
    if isinstance(stage, EvalStage):
        return
    prompts: Sequence[Prompt]
    if stage.kind == "upt":
        ready.blind[stage.name] = blind_prompts(stage.data, recipe.world)
        prompts = ready.blind[stage.name].rows
    else:
        ready.labeled[stage.name] = labeled_rows(stage.data, recipe.world)
        prompts = [row.prompt for row in ready.labeled[stage.name].rows]
    if isinstance(stage, GrpoStage):
        check_engine(stage.rollout)
    if isinstance(stage, GrpoStage) and stage.prompts_per_step > len(prompts):
        raise DataError(
            f"stages.{stage.name}.prompts_per_step is {stage.prompts_per_step}, but {stage.data.path} has only "
            f"{len(prompts)} prompts; lower it or bring more prompts"
        )
    _check_lengths(stage.data.path, prompts, stage.data.bad_rows, stage.prompt, family)


def _check_lengths(
    source: str, prompts: Sequence[Prompt], bad_rows: str, settings: PromptSettings, family: Family
) -> None:
    if settings.too_long == "skip" or bad_rows == "skip" or source.startswith("world:"):
        return
    encoder = PromptEncoder(family, settings)
    for prompt in prompts[:_LENGTHS_CHECKED]:
        try:
            encoder.check_length(prompt)
        except PromptTooLong as error:
            raise DataError(f"{source}: {error}") from error
