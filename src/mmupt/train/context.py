"""What a training stage is given besides its settings and its model: where to write, and where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmupt.models.loading import LoadedModel, save_model
from mmupt.models.lora import has_adapter
from mmupt.runtime.checkpoints import load_state, load_tensors, prune, save_checkpoint, save_tensors
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder

_KEEP_LAST = 2
_OPTIMIZER = "optimizer.safetensors"


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

    def save(self, step: int, loaded: LoadedModel, optimizer: torch.optim.AdamW, state: Mapping[str, object]) -> None:
        """A checkpoint behind step `step`: a Hugging Face folder (an adapter's under LoRA) and the trainer's state."""

        def write(folder: Path) -> None:
            save_model(loaded, folder)
            save_tensors(folder / _OPTIMIZER, optimizer.state_dict())

        save_checkpoint(self.run.checkpoint(self.stage, step), write, {"step": step, **state})
        prune(self.run.checkpoints(self.stage), _KEEP_LAST)

    def save_result(self, step: int, loaded: LoadedModel) -> Path:
        """What the stage hands on: an ordinary Hugging Face folder. The checkpoints it went through are removed."""
        folder = self.run.checkpoint(self.stage, step)
        save_checkpoint(folder, lambda to: save_model(loaded, to), {"step": step, "finished": True})
        prune(self.run.checkpoints(self.stage), 1)
        return folder

    def restore(self, loaded: LoadedModel, optimizer: torch.optim.AdamW) -> dict[str, object] | None:
        """The trainer's state of the checkpoint to go on from, put into `optimizer` (and, under LoRA, the adapter
        into the model; whole weights were loaded with the model); None where the stage begins."""
        if self.resumed is None:
            return None
        if has_adapter(loaded.model):
            _load_adapter(loaded, self.resumed)
        optimizer.load_state_dict(load_tensors(self.resumed / _OPTIMIZER))  # type: ignore[arg-type]
        return load_state(self.resumed)


def _load_adapter(loaded: LoadedModel, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(loaded.model, load_file(folder / "adapter_model.safetensors"))
