"""Generation with vLLM, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.checking import refuse_other_weights
from mmupt.engines.finished import with_texts
from mmupt.engines.source import Source
from mmupt.engines.vllm.asking import ask
from mmupt.engines.vllm.host import VLLMHost
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import Rollout


@dataclass(slots=True, eq=False)
class VLLMEngine:
    """Samples from the weights of `loaded`, which the host takes over before the first rollout, after `release`, and
    after another engine has used it. For the same seeds it samples what the HF engine does, but for float error."""

    loaded: LoadedModel
    host: VLLMHost
    clock: PhaseClock = field(default_factory=PhaseClock)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        if not any(request.seeds for request in requests):
            return [() for _ in requests]
        loaded = self.loaded
        with self.clock("sync"):
            fresh = self.host.hold(self, Source.of(loaded))
        with self.clock("decode"):
            groups = ask(self.host, loaded.family, requests, sampling)
        self.clock.add_tokens("decode", sum(len(f.token_ids) for group in groups for f in group))
        if fresh:
            with self.clock("sync"):
                request, group = next((r, g) for r, g in zip(requests, groups, strict=True) if g)
                exact = loaded.dtype == torch.float32 and self.host.needs.settings.dtype in (None, "float32")
                refuse_other_weights(loaded, request.encoded, group[0], sampling, exact=exact, who="vLLM")
        return with_texts(groups, loaded.family.tokenizer)

    def release(self) -> None:
        self.host.let_go()
