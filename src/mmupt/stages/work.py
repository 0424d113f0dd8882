"""What a stage is handed: the model, the rows, and the run around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Engine
from mmupt.engines.choice import Engines
from mmupt.engines.settings import RolloutSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import ShardedStart, StartModel
from mmupt.preflight import Preflight, load_made_rows
from mmupt.recipe import Recipe
from mmupt.rewards.tools import Tools
from mmupt.runtime.processes import ALONE
from mmupt.runtime.seeds import derive_seed
from mmupt.train.context import StageContext
from mmupt.train.policy import Policy, policy_of
from mmupt.train.settings import GrpoStage
from mmupt.types import Prompt


def stage_seed(recipe: Recipe, stage: str) -> int:
    """Stages of one recipe draw different random numbers, whatever else the recipe holds."""
    return derive_seed(recipe.seed, "stage", stage)


@dataclass(frozen=True, slots=True)
class Work:
    """`model` is the model as the stage finds it, which lies at `path`, and what it trains; `read_again` brings that
    start back from the disk. `ready` holds the stage's rows by its name. A rehearsal keeps nothing and has no guard."""

    recipe: Recipe
    ready: Preflight
    context: StageContext
    model: LoadedModel
    path: str
    read_again: Callable[[], LoadedModel]
    engines: Engines
    rehearsal: bool = False

    def seed_of(self, stage: str) -> int:
        """What the random numbers of a stage derive from."""
        return stage_seed(self.recipe, stage)

    def prompts_of(self, stage: GrpoStage) -> tuple[Prompt, ...]:
        """The questions of a label-free stage, this one or an earlier one."""
        if stage.name not in self.ready.blind:
            load_made_rows(stage, self.recipe, self.model.family, self.ready, self.context.run)
        return self.ready.blind[stage.name].rows

    def leading(self, engine: Engine) -> Work:
        """For the first process, which does this work alone, but for what it asks of `engine`."""
        return replace(self, context=replace(self.context, processes=ALONE), engines=Engines.lent(engine))

    def policy(self) -> Policy:
        """What the stage moves. Collective."""
        return policy_of(self.model, self.context.processes, self.recipe.processes)

    def start(self) -> StartModel:
        """The model as the stage finds it, to be asked again later."""
        if self.model.shards is not None:
            return ShardedStart(self.model, self.read_again)
        return StartModel(self.model, lambda: self.read_again().model)

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
        engine_of = self.engines.of(rollout, prompt, self.context.clock)
        return Tools(
            loaded=self.model,
            encoder=PromptEncoder(self.model.family, prompt),
            engine=engine_of(self.model),
            engine_of=engine_of,
            start=start,
            rollout=rollout,
            micro_batch_tokens=micro_batch_tokens,
            logprob_chunk=logprob_chunk,
            clock=self.context.clock,
            processes=self.context.processes,
        )
