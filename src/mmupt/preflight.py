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
from mmupt.data.settings import DataSettings, PromptSettings, ReadingStage
from mmupt.engines.choice import check_engine
from mmupt.engines.settings import RolloutSettings
from mmupt.errors import ConfigError, DataError
from mmupt.evals.sets import EvaluationSet
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.families.base import Family
from mmupt.models.loading import load_family
from mmupt.recipe import Recipe
from mmupt.rewards.own.recorded import check_own
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.processes import ALONE, Processes
from mmupt.sources import WORLD, blind_prompts, evaluation_sets, labeled_rows, pictures, preference_pairs
from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import asks, subjects
from mmupt.train.settings import SftStage
from mmupt.train.targets import TargetEncoder
from mmupt.types import LabeledPrompt, PreferencePair, Prompt
from mmupt.world.texts import world_texts
from mmupt.world.tiny_model import build_world_model

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
    pairs: dict[str, DataSet[PreferencePair]] = field(default_factory=dict)
    sets: list[EvaluationSet] = field(default_factory=list)

    @property
    def skipped(self) -> dict[str, int]:
        """Rows left out, by stage, and those of evaluation sets by the set's name."""
        found: dict[str, DataSet[Prompt] | DataSet[LabeledPrompt] | DataSet[PreferencePair]]
        found = {**self.blind, **self.labeled, **self.pairs}
        found |= {f"{EVALUATION} on {questions.name}": questions.rows for questions in self.sets}
        return {name: len(data.skipped) for name, data in found.items() if data.skipped}


EVALUATION = "evaluation"
"""How the rows left out of an evaluation are called; no stage may have this name."""


@contextmanager
def preflight(recipe: Recipe, processes: Processes = ALONE) -> Iterator[Preflight]:
    """Check and load. A world's model is built in a temporary folder, which lives as long as the context."""
    device = processes.device(recipe.model.device)
    check_own(recipe)
    _check_several(recipe, device, processes)
    folder = Path(tempfile.mkdtemp(prefix="mmupt-"))
    try:
        path = recipe.model.path
        if path.startswith(WORLD):
            path = str(build_world_model(path, folder / "start", world_texts(recipe.world), recipe.seed))
        ready = Preflight(device, path)
        family = load_family(path, recipe.model)
        for rollout in _rollouts(recipe).values():
            check_engine(rollout, family, processes)
        for stage in recipe.stages:
            if isinstance(stage, ReadingStage) and stage.data.maker is None:
                load_rows(stage, recipe, family, ready, stage.data)
        if (evaluation := recipe.evaluation) is not None:
            for questions in evaluation_sets(evaluation, recipe.world):
                ready.sets.append(questions)
                prompts = [row.prompt for row in questions.rows.rows]
                _check_lengths(questions.name, prompts, questions.bad_rows, evaluation.prompt, family)
        yield ready
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_several(recipe: Recipe, device: torch.device, processes: Processes) -> None:
    """ConfigError for what only one process can do, or another number of them."""
    if processes.size == 1:
        return
    problems = [
        f"stages.{name}.rollout.vllm.tensor_parallel = {abreast}: so many processes of a node share one copy of the "
        f"model, and this node is known to run {processes.local_size}; start them by torchrun, with a multiple of it "
        "as --nproc-per-node, or set 1"
        for name, rollout in _rollouts(recipe).items()
        if rollout.engine == "vllm" and processes.local_size % (abreast := rollout.vllm.tensor_parallel)
    ]
    if recipe.processes.layout == "sharded":
        problems += [
            f'stages.{name}.rollout.server.weights = "{rollout.server.weights}" sends weights again whenever a server '
            'comes back, and the first process has them once: use "http" or "folder", or processes.layout = "replica"'
            for name, rollout in _rollouts(recipe).items()
            if rollout.engine == "server" and rollout.server.weights not in ("http", "folder")
        ]
    if recipe.processes.cpu_offload and device.type == "cpu":
        problems.append("processes.cpu_offload brings shards from a GPU to main memory, and this run has no GPU")
    if problems:
        raise ConfigError(problems, where=f"{processes.size} processes")


def _rollouts(recipe: Recipe) -> dict[str, RolloutSettings]:
    """Of the stages that sample, by name."""
    found = {stage.name: getattr(stage, "rollout", None) for stage in recipe.stages}
    return {name: rollout for name, rollout in found.items() if isinstance(rollout, RolloutSettings)}


def load_rows(stage: ReadingStage, recipe: Recipe, family: Family, ready: Preflight, data: DataSettings) -> None:
    """The rows of `stage` from `data`, into `ready`. `upt` gets prompts, and only prompts; nothing that holds its
    labels is ever made. Raises DataError for rows that cannot be used, or too few."""
    prompts: Sequence[Prompt]
    if stage.reads in ("prompts", "pictures"):
        load = pictures if stage.reads == "pictures" else blind_prompts
        ready.blind[stage.name] = load(data, recipe.world)
        prompts = ready.blind[stage.name].rows
    elif stage.reads == "pairs":
        ready.pairs[stage.name] = pairs = preference_pairs(data)
        prompts = [pair.prompt for pair in pairs.rows]
        _check_targets(stage.data.path, pairs.rows, family)
    else:
        ready.labeled[stage.name] = labeled = labeled_rows(data, recipe.world)
        prompts = [row.prompt for row in labeled.rows]
        if isinstance(stage, SftStage):
            _check_targets(stage.data.path, labeled.rows, family)
    fewest, key = stage.fewest
    if fewest > len(prompts):
        raise DataError(
            f"stages.{stage.name}.{key} is {fewest}, but {stage.data.path} has only {len(prompts)} prompts; "
            "lower it or bring more prompts"
        )
    asked, how = _put(stage, prompts)
    _check_lengths(stage.data.path, asked, stage.data.bad_rows, how, family)


def load_made_rows(stage: ReadingStage, recipe: Recipe, family: Family, ready: Preflight, run: RunLayout) -> None:
    """The same where an earlier stage of the run has made the rows, once it has. They have mmupt's own columns,
    whatever a shared `[data]` says of others."""
    assert stage.data.maker is not None, "the stage reads rows from outside the run"
    made = DataSettings(path=str(run.made(stage.data.maker)), limit=stage.data.limit, bad_rows=stage.data.bad_rows)
    load_rows(stage, recipe, family, ready, made)


def _check_targets(source: str, rows: Sequence[LabeledPrompt | PreferencePair], family: Family) -> None:
    target = TargetEncoder.of(family)
    for row in rows:
        try:
            target.check(row)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _put(stage: ReadingStage, prompts: Sequence[Prompt]) -> tuple[Sequence[Prompt], PromptSettings]:
    """What is put to the model, and how: the questions, or requests to write some."""
    if not isinstance(stage, SynthStage):
        return prompts, stage.prompt
    unanswered = dict.fromkeys((prompt.id for prompt in prompts), "")
    requests = [ask.prompt for subject in subjects(prompts) for ask in asks(subject, stage, unanswered)]
    return requests, stage.prompt.model_copy(update={"suffix": ""})


def _check_lengths(
    source: str, prompts: Sequence[Prompt], bad_rows: str, settings: PromptSettings, family: Family
) -> None:
    if settings.too_long == "skip" or bad_rows == "skip" or source.startswith(WORLD):
        return
    encoder = PromptEncoder(family, settings)
    for prompt in prompts[:_LENGTHS_CHECKED]:
        try:
            encoder.check_length(prompt)
        except PromptTooLong as error:
            raise DataError(f"{source}: {error}") from error
