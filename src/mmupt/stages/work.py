"""What a stage is handed: the model, the rows, and the run around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mmupt.data.settings import PromptSettings
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.preflight import Preflight
from mmupt.recipe import Recipe
from mmupt.rewards.tools import Tools
from mmupt.train.context import StageContext


@dataclass(frozen=True, slots=True)
class Work:
    """`model` is the model as the stage finds it, and what it trains; `read_again` brings that start back from the
    disk. `ready` holds the stage's rows by its name. A rehearsal keeps nothing and needs no guard."""

    recipe: Recipe
    ready: Preflight
    context: StageContext
    model: LoadedModel
    read_again: Callable[[], nn.Module]
    rehearsal: bool = False

    def start(self) -> StartModel:
        """The model as the stage finds it, to be asked again later."""
        return StartModel(self.model, self.read_again)

    def tools(
        self,
        start: StartModel,
        prompt: PromptSettings,
        rollout: RolloutSettings,
        *,
        micro_batch_tokens: int,
        logprob_chunk: int,
    ) -> Tools:
        """What samples and measures on the stage's behalf. No labels."""
        clock = self.context.clock

        def engine_of(loaded: LoadedModel) -> HFEngine:
            return HFEngine(loaded, rollout.prompts_at_once, clock)

        return Tools(
            loaded=self.model,
            encoder=PromptEncoder(self.model.family, prompt),
            engine=engine_of(self.model),
            engine_of=engine_of,
            start=start,
            rollout=rollout,
            micro_batch_tokens=micro_batch_tokens,
            logprob_chunk=logprob_chunk,
            clock=clock,
        )
