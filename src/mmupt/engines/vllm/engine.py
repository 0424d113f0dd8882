"""Generation with vLLM, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.checking import keep_step, refuse_other_weights
from mmupt.engines.finished import Finished, with_texts
from mmupt.engines.source import Source
from mmupt.engines.vllm.asking import ask
from mmupt.engines.vllm.host import VLLMHost
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import EncodedPrompt, Rollout


@dataclass(slots=True, eq=False)
class VLLMEngine:
    """Samples from the weights of `loaded`, which the host takes over before the first rollout, after `release`, and
    after another engine has used it. For the same seeds it samples what the HF engine does, but for float error."""

    loaded: LoadedModel
    host: VLLMHost
    clock: PhaseClock = field(default_factory=PhaseClock)
    _sampled: tuple[EncodedPrompt, Finished, Sampling] | None = field(default=None, init=False)
    """The first rollout from the weights of now."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        if not any(request.seeds for request in requests):
            return [() for _ in requests]
        with self.holding():
            with self.clock("decode"):
                groups = ask(self.host, self.loaded.family, requests, sampling)
            self.clock.add_tokens("decode", sum(len(f.token_ids) for group in groups for f in group))
            if self._sampled is None:
                request, group = next((r, g) for r, g in zip(requests, groups, strict=True) if g)
                self._sampled = request.encoded, group[0], sampling
        return with_texts(groups, self.loaded.family.tokenizer)

    def release(self) -> None:
        self.host.let_go()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Inside, vLLM has the weights of now; behind it the first rollout of new ones has been compared with the
        trainer's forward. Several processes do this at the same time, around what each of them samples."""
        with self.clock("sync"):
            fresh = self.host.hold(self, Source.of(self.loaded))
        if fresh:
            self._sampled = None
        yield
        if fresh:
            with self.clock("sync"):
                self._compare()

    def _compare(self) -> None:
        if self._sampled is None:
            keep_step(self.loaded)
            return
        encoded, finished, sampling = self._sampled
        exact = self.loaded.dtype == torch.float32 and self.host.needs.settings.dtype in (None, "float32")
        refuse_other_weights(self.loaded, encoded, finished, sampling, exact=exact, who="vLLM")
