"""Generation on other machines, or on other GPUs of this one, by what `mmupt serve` runs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

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
        if self.needs_weights(requests):
            self.bring_weights()
        rollouts, comparisons = self.sample(requests, sampling)
        for compare in comparisons:
            compare()
        return rollouts

    def release(self) -> None:
        self.pool.let_go()

    def needs_weights(self, requests: Sequence[Request]) -> bool:
        """Whether the servers have to be brought those of now before they can be asked."""
        return any(request.seeds for request in requests) and not self.pool.holds(self)

    def bring_weights(self) -> None:
        with self.clock("sync"):
            self.pool.hold(self, Source.of(self.loaded))

    def sample(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> tuple[list[tuple[Rollout, ...]], list[Callable[[], None]]]:
        """The rollouts, and what compares the first one that each server has sampled from new weights."""
        asked = [request for request in requests if request.seeds]
        answers: list[Answer] = []
        if asked:
            with self.clock("decode"):
                answers = self.pool.generate(asked, sampling)
            self.clock.add_tokens("decode", sum(len(f.token_ids) for answer in answers for f in answer.finished))
        them = iter(answers)
        groups: list[list[Finished]] = [next(them).finished if request.seeds else [] for request in requests]
        comparisons: list[Callable[[], None]] = []
        for request, answer in zip(asked, answers, strict=True):
            if not answer.server.checked:
                answer.server.checked = True
                comparisons.append(partial(self._compare, request, answer, sampling))
        return with_texts(groups, self.loaded.family.tokenizer), comparisons

    def _compare(self, request: Request, answer: Answer, sampling: Sampling) -> None:
        exact = answer.server.exact and self.loaded.dtype == torch.float32
        who = f"rollout server {answer.server.client.url}"
        with self.clock("sync"):
            refuse_other_weights(self.loaded, request.encoded, answer.finished[0], sampling, exact=exact, who=who)
