"""What a training stage is given besides its settings and its model: where to write, and where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmupt.models.loading import LoadedModel, save_model
from mmupt.models.lora import has_adapter
from mmupt.runtime.checkpoints import (
    begin_checkpoint,
    load_state,
    load_tensors,
    prune,
    save_checkpoint,
    save_tensors,
    verify_checkpoint,
)
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes
from mmupt.runtime.progress import Progress
from mmupt.runtime.saving import Saving
from mmupt.runtime.settings import CheckpointSettings
from mmupt.runtime.stopping import Stopping
from mmupt.train.policy import Policy

_REWARD = "reward.safetensors"


@dataclass(frozen=True, slots=True)
class StageContext:
    """`resumed` is the verified checkpoint inside this stage that the run goes on from, or None at its beginning. Where
    several processes run, only the first writes into `run`; metrics and progress of the others go nowhere."""

    run: RunLayout
    metrics: MetricsLog
    progress: Progress
    stage: str
    seed: int
    resumed: Path | None = None
    clock: PhaseClock = field(default_factory=PhaseClock)
    processes: Processes = ALONE
    stopping: Stopping = field(default_factory=Stopping)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)
    saving: Saving = field(default_factory=Saving)

    def leaving(self) -> bool:
        """Behind a step: whether the run is to end here, with a checkpoint. Raises what has gone wrong with the
        checkpoint before. Collective."""
        self.saving.look()
        return self.stopping.wanted(self.processes)

    def save(
        self,
        step: int,
        policy: Policy,
        optimizer: torch.optim.AdamW,
        state: Mapping[str, object],
        reward: Mapping[str, Tensor] | None = None,
        *,
        keep: int | None = None,
    ) -> None:
        """A checkpoint behind step `step`: a Hugging Face folder (an adapter's under LoRA), the trainer's state and the
        reward's tensors. Older ones go, but for the last ones and that of step `keep`. It may take its place while the
        next step runs (`saving`). Collective."""
        self.saving.wait()  # its files are written one after another, not at once
        policy.publish()

        def write(folder: Path) -> None:
            policy.save_optimizer(folder, optimizer)
            if self.processes.main:
                save_model(policy.loaded, folder)
                if reward:
                    save_tensors(folder / _REWARD, dict(reward))

        folder = self.run.checkpoint(self.stage, step)
        with policy.loaded.whole_in_first():
            seal = begin_checkpoint(folder, write, {"step": step, **state}, self.processes)

        def finish() -> None:
            seal()
            prune(folder.parent, self.checkpoints.keep_last, keep=() if keep is None else (keep,))

        self.processes.first(lambda: self.saving.start(finish))

    def save_result(self, step: int, loaded: LoadedModel) -> Path:
        """What the stage hands on: an ordinary Hugging Face folder. The checkpoints it went through are removed,
        unless they are to stay. Collective."""
        self.saving.wait()
        folder = self.run.checkpoint(self.stage, step)

        def save() -> None:
            save_checkpoint(folder, lambda to: save_model(loaded, to), {"step": step, "finished": True})
            if not self.checkpoints.keep_at_end:
                prune(self.run.checkpoints(self.stage), 1)

        with loaded.whole_in_first():
            self.processes.first(save)
        return folder

    def restore(
        self,
        policy: Policy,
        optimizer: torch.optim.AdamW,
        load_reward: Callable[[Mapping[str, Tensor]], None] | None = None,
    ) -> dict[str, Any] | None:
        """The trainer's state of the checkpoint to go on from, put into `optimizer` and handed to `load_reward` (and,
        under LoRA, the adapter into the policy; whole weights were loaded with the model); None where the stage
        begins. Whether one process has written it or several, and how many, makes no difference. Collective."""
        if self.resumed is None:
            return None
        if has_adapter(policy.loaded.model):
            policy.read(self.resumed)
        policy.load_optimizer(self.resumed, optimizer)
        if load_reward is not None and (self.resumed / _REWARD).exists():
            load_reward(load_tensors(self.resumed / _REWARD))  # type: ignore[arg-type]
        return load_state(self.resumed)

    def go_back(self, step: int, policy: Policy, optimizer: torch.optim.AdamW) -> None:
        """Weights and optimiser as they were behind step `step`, whose checkpoint was kept. Collective."""
        self.saving.wait()
        folder = self.run.checkpoint(self.stage, step)
        self.processes.first(lambda: verify_checkpoint(folder))
        policy.read(folder)
        policy.load_optimizer(folder, optimizer)
