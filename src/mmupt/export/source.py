"""What `mmupt export SOURCE` names: a run, a stage of one, or a checkpoint folder; and the model folder behind it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmupt.errors import RunFolderError
from mmupt.runtime.checkpoints import load_state, verify_checkpoint
from mmupt.runtime.layout import RunLayout

ADAPTER = "adapter_config.json"
"""A checkpoint with this file holds a low-rank adapter and no whole weights."""
_STEP = re.compile(r"step-(\d+)")
_TRAINING = ("sft", "rl", "upt", "dpo")
_WORLD = "world:"


@dataclass(frozen=True, slots=True)
class ModelBehind:
    """A verified checkpoint `folder`, which is the model of `stage` behind step `step` of the run `run` (None for a
    checkpoint that lies in no run).

    `base` is the folder or hub id whose weights an adapter in `folder` belongs to, at `revision`; None where `folder`
    holds whole weights.
    """

    folder: Path
    step: int
    finished: bool
    run: Path | None = None
    stage: str | None = None
    base: str | None = None
    revision: str | None = None


def model_behind(source: str, base: str | None = None) -> ModelBehind:
    """The model that `source` names: a run folder (its newest finished stage), RUN:STAGE, or a checkpoint folder.

    This is the one place that knows how a run keeps its models; whoever adds another kind of checkpoint adds it here
    and to `whole_folder`. `base` overrides where an adapter's base model is looked for. Raises RunFolderError where
    there is no such run, no finished stage, or the checkpoint is damaged.
    """
    path = Path(source)
    if path.is_dir():
        if RunLayout(path).run.is_file():
            return _newest_stage(path, base)
        if _STEP.fullmatch(path.resolve().name) or (path / "manifest.json").is_file():
            return _checkpoint(path, base)
        raise RunFolderError(
            f"{path}: is neither a run folder (no run.json) nor a checkpoint (no manifest.json); name a run, RUN:STAGE "
            "or a folder such as RUN/checkpoints/STAGE/step-000020"
        )
    folder, colon, stage = source.rpartition(":")
    if colon and RunLayout(Path(folder)).run.is_file():
        return _stage(Path(folder), stage, base)
    raise RunFolderError(f"{source}: there is no such folder; name a run, RUN:STAGE or a checkpoint folder")


def trained_stages(run: Path) -> list[str]:
    """The names of the training stages of a run's recipe, in order. RunFolderError where it cannot be read."""
    return [str(stage["name"]) for stage in _recipe(run).get("stages", []) if stage.get("kind") in _TRAINING]


def trained_model(run: Path) -> Path | None:
    """The checkpoint that the last finished stage has left, unverified; None where there is none yet."""
    for stage in reversed(trained_stages(run)):
        for folder in _newest_first(run, stage):
            if _is_finished(folder):
                return folder
    return None


def _newest_stage(run: Path, base: str | None) -> ModelBehind:
    if (folder := trained_model(run)) is not None:
        return _checkpoint(folder, base)
    stages = trained_stages(run)
    begun = [folder for stage in reversed(stages) for folder in _newest_first(run, stage)]
    if begun:
        raise RunFolderError(
            f"{run}: no stage is finished; resume the run, or export its newest checkpoint: {begun[0]}"
        )
    raise RunFolderError(f"{run}: no stage is finished and there is no checkpoint yet; resume the run first")


def _stage(run: Path, stage: str, base: str | None) -> ModelBehind:
    stages = trained_stages(run)
    if stage not in stages:
        raise RunFolderError(f"{run}: no stage {stage!r} trains a model there; such are: {', '.join(stages) or 'none'}")
    folders = _newest_first(run, stage)
    for folder in folders:
        if _is_finished(folder):
            return _checkpoint(folder, base)
    if folders:
        raise RunFolderError(
            f"{run}: stage {stage!r} is not finished; resume the run, or export its newest checkpoint: {folders[0]}"
        )
    raise RunFolderError(f"{run}: stage {stage!r} has left no checkpoint; it was not begun, or its guard left it out")


def _checkpoint(folder: Path, base: str | None) -> ModelBehind:
    verify_checkpoint(folder)
    state = load_state(folder)
    run, stage = _place(folder)
    found = ModelBehind(folder, int(str(state.get("step", 0))), bool(state.get("finished")), run, stage)
    if not (folder / ADAPTER).is_file():
        return found
    revision = None
    if base is None:
        if run is None or stage is None:
            raise RunFolderError(
                f"{folder}: holds an adapter and lies in no run, so what it belongs to is not known (what peft has "
                "written down is the model the run began with, not the stage); name it with --base"
            )
        base, revision = _base_in_run(run, stage)
    return ModelBehind(folder, found.step, found.finished, run, stage, base, revision)


def _place(folder: Path) -> tuple[Path | None, str | None]:
    """The run and the stage that a checkpoint lies in: RUN/checkpoints/STAGE/step-N."""
    stage = folder.resolve().parent
    run = stage.parent.parent
    if stage.parent.name == "checkpoints" and RunLayout(run).run.is_file():
        return run, stage.name
    return None, None


def _base_in_run(run: Path, stage: str) -> tuple[str, str | None]:
    """What the stage began with, folder or id and revision: the model of the newest finished stage before it, else that
    of the recipe. A path that was written down when the run was made would not survive a run that is moved."""
    before = trained_stages(run)
    for earlier in reversed(before[: before.index(stage)] if stage in before else []):
        for folder in _newest_first(run, earlier):
            if _is_finished(folder):
                verify_checkpoint(folder)
                return str(folder), None
    model = _recipe(run).get("model", {})
    path = str(model.get("path", ""))
    if path.startswith(_WORLD):
        return str(run / "start"), None
    return path, model.get("revision")


def _newest_first(run: Path, stage: str) -> list[Path]:
    return [folder for _, folder in sorted(_steps(run, stage), reverse=True)]


def _steps(run: Path, stage: str) -> Iterator[tuple[int, Path]]:
    for folder in RunLayout(run).checkpoints(stage).glob("step-*"):
        if match := _STEP.fullmatch(folder.name):
            yield int(match[1]), folder


def _is_finished(folder: Path) -> bool:
    """RunFolderError where the checkpoint is too damaged to say: going on to an older one in silence would export
    another model than was asked for."""
    try:
        return bool(load_state(folder).get("finished"))
    except (OSError, ValueError, TypeError):
        verify_checkpoint(folder)
        raise


def _recipe(run: Path) -> dict[str, Any]:
    file = RunLayout(run).recipe
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunFolderError(f"{file}: cannot be read ({error}); export a checkpoint folder instead") from error
