"""Generation with the trainer's own model, anywhere transformers runs.

Prompt and pictures go through the model once a group, several groups in a packed row. The rollouts of a group decode
against the one copy of what their prompt left behind. Rollouts run in slots: one that ends makes room at once for the
next that waits, so that a long one holds nobody up, and while nobody waits the batch shrinks with the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import with_texts
from mmupt.engines.generation import Generation
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import Rollout


@dataclass(slots=True)
class HFEngine:
    """Shares the trainer's weights, so it always samples from the newest policy. `prompts_at_once` bounds memory: there
    are slots for the rollouts of so many prompts."""

    loaded: LoadedModel
    prompts_at_once: int = 16
    clock: PhaseClock = field(default_factory=PhaseClock)

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        model = self.loaded.model
        was_training = model.training
        model.eval()  # in training mode gradient checkpointing would run
        try:
            # One context around everything: weights are brought to the forward's dtype once, not once a token.
            with self.loaded.autocast():
                finished = Generation(self.loaded, requests, sampling, self.prompts_at_once, self.clock).run()
        finally:
            model.train(was_training)
        return with_texts(finished, self.loaded.family.tokenizer)

    def release(self) -> None:
        """Nothing to do: weights and memory are the trainer's."""
