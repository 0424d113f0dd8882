"""What a reward may use besides the groups it is handed: the model, its start, an engine, an encoder. No labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmupt.engines.base import Engine, Sampling
from mmupt.engines.settings import RolloutSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes


@dataclass(frozen=True, slots=True)
class Tools:
    """`engine` samples from the policy as it is now, `engine_of` from any other weights; `start` is the model as the
    stage found it. What is sampled or forwarded is timed by `clock`. Where several `processes` run, they all score the
    same groups: engines divide what they sample, and what else costs forwards goes through `processes.map`."""

    loaded: LoadedModel
    encoder: PromptEncoder
    engine: Engine
    engine_of: Callable[[LoadedModel], Engine]
    start: StartModel
    rollout: RolloutSettings
    micro_batch_tokens: int
    logprob_chunk: int
    clock: PhaseClock
    processes: Processes = ALONE

    @property
    def sampling(self) -> Sampling:
        """How the stage samples."""
        return Sampling(self.rollout.temperature, self.rollout.top_p, self.rollout.max_new_tokens)
