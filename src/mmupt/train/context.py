"""What a training stage is given besides its settings and its model: where to write, and where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmupt.models.loading import LoadedModel, copy_weights, save_model
from mmupt.models.lora import has_adapter
from mmupt.runtime.checkpoints import (
    load_state,
    load_tensors,
    prune,
    save_checkpoint,
    save_tensors,
    verify_checkpoint,
)
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder

_KEEP_LAST = 2
_OPTIMIZER = "optimizer.safetensors"
_REWARD = "reward.safetensors"


@dataclass(frozen=True, slots=True)
class StageContext:
    """`resumed` is the verified checkpoint inside this stage that the run goes on from, or None at its beginning."""

    run: RunFolder
    metrics: MetricsLog
    progress: Progress
    stage: str
    seed: int
    resumed: Path | None = None
    clock: PhaseClock = field(default_factory=PhaseClock)

    def save(
        self,
        step: int,
        loaded: LoadedModel,
        optimizer: torch.optim.AdamW,
        state: Mapping[str, object],
        reward: Mapping[str, Tensor] | None = None,
        *,
        keep: int | None = None,
    ) -> None:
        """A checkpoint behind step `step`: a Hugging Face folder (an adapter's under LoRA), the trainer's state and the
        reward's tensors. Older ones go, but for the last and that of step `keep`."""

        def write(folder: Path) -> None:
            save_model(loaded, folder)
            save_tensors(folder / _OPTIMIZER, optimizer.state_dict())
            if reward:
                save_tensors(folder / _REWARD, dict(reward))

        save_checkpoint(self.run.checkpoint(self.stage, step), write, {"step": step, **state})
        prune(self.run.checkpoints(self.stage), _KEEP_LAST, keep=() if keep is None else (keep,))

    def save_result(self, step: int, loaded: LoadedModel) -> Path:
        """What the stage hands on: an ordinary Hugging Face folder. The checkpoints it went through are removed."""
        folder = self.run.checkpoint(self.stage, step)
        save_checkpoint(folder, lambda to: save_model(loaded, to), {"step": step, "finished": True})
        prune(self.run.checkpoints(self.stage), 1)
        return folder

    def restore(
        self,
        loaded: LoadedModel,
        optimizer: torch.optim.AdamW,
        load_reward: Callable[[Mapping[str, Tensor]], None] | None = None,
    ) -> dict[str, Any] | None:
        """The trainer's state of the checkpoint to go on from, put into `optimizer` and handed to `load_reward` (and,
        under LoRA, the adapter into the model; whole weights were loaded with the model); None where the stage
        begins."""
        if self.resumed is None:
            return None
        if has_adapter(loaded.model):
            _load_adapter(loaded, self.resumed)
        optimizer.load_state_dict(load_tensors(self.resumed / _OPTIMIZER))  # type: ignore[arg-type]
        if load_reward is not None and (self.resumed / _REWARD).exists():
            load_reward(load_tensors(self.resumed / _REWARD))  # type: ignore[arg-type]
        return load_state(self.resumed)

    def go_back(self, step: int, loaded: LoadedModel, optimizer: torch.optim.AdamW) -> None:
        """Weights and optimiser as they were behind step `step`, whose checkpoint was kept."""
        folder = self.run.checkpoint(self.stage, step)
        verify_checkpoint(folder)
        if has_adapter(loaded.model):
            _load_adapter(loaded, folder)
        else:
            copy_weights(loaded, folder)
        optimizer.load_state_dict(load_tensors(folder / _OPTIMIZER))  # type: ignore[arg-type]


def _load_adapter(loaded: LoadedModel, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(loaded.model, load_file(folder / "adapter_model.safetensors"))
