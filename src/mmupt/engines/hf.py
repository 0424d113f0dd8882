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
from mmupt.engines.generation import Finished, Generation
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
        return self._with_texts(finished)

    def _with_texts(self, finished: Sequence[Sequence[Finished]]) -> list[tuple[Rollout, ...]]:
        tokenizer = self.loaded.family.tokenizer
        spoken = [f.token_ids[:-1] if f.stop == "end" else f.token_ids for group in finished for f in group]
        texts = iter(tokenizer.batch_decode(spoken, skip_special_tokens=True) if spoken else ())
        return [
            tuple(Rollout(tuple(f.token_ids), tuple(f.logprobs), next(texts), f.stop) for f in group)
            for group in finished
        ]
