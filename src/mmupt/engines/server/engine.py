"""Generation on other machines, or on other GPUs of this one, by what `mmupt serve` runs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.checking import refuse_other_weights
from mmupt.engines.finished import Finished, with_texts
from mmupt.engines.server.pool import Answer, ServerPool
from mmupt.engines.source import Source
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import Rollout


@dataclass(slots=True, eq=False)
class ServerEngine:
    """Samples from the weights of `loaded`, which the servers are brought before the first rollout, after `release`,
    and after another engine has used them. For the same seeds it samples what the HF engine does, but for float error,
    however many servers there are."""

    loaded: LoadedModel
    pool: ServerPool
    clock: PhaseClock = field(default_factory=PhaseClock)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        asked = [request for request in requests if request.seeds]
        answers: list[Answer] = []
        if asked:
            with self.clock("sync"):
                self.pool.hold(self, Source.of(self.loaded))
            with self.clock("decode"):
                answers = self.pool.generate(asked, sampling)
            self.clock.add_tokens("decode", sum(len(f.token_ids) for answer in answers for f in answer.finished))
            with self.clock("sync"):
                self._check(asked, answers, sampling)
        them = iter(answers)
        groups: list[list[Finished]] = [next(them).finished if request.seeds else [] for request in requests]
        return with_texts(groups, self.loaded.family.tokenizer)

    def release(self) -> None:
        self.pool.let_go()

    def _check(self, asked: Sequence[Request], answers: Sequence[Answer], sampling: Sampling) -> None:
        """The first rollout that each server has sampled from new weights."""
        for request, answer in zip(asked, answers, strict=True):
            server = answer.server
            if not server.checked:
                exact = server.exact and self.loaded.dtype == torch.float32
                who = f"rollout server {server.client.url}"
                refuse_other_weights(self.loaded, request.encoded, answer.finished[0], sampling, exact=exact, who=who)
                server.checked = True
