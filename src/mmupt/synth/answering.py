"""The model's own answers to questions: what they say about a question that nobody has checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmupt.engines.base import Engine, Request, Sampling
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder
from mmupt.rewards.base import group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.seeds import derive_seed
from mmupt.synth.settings import SynthStage
from mmupt.types import Prompt, RolloutGroup, Vote


@dataclass(frozen=True, slots=True)
class Answering:
    """Puts questions to the model as the stage's settings say, each `stage.num_samples` times."""

    encoder: PromptEncoder = field(repr=False)
    engine: Engine = field(repr=False)
    stage: SynthStage
    seed: int

    def votes(self, prompts: Sequence[Prompt], name: str) -> list[Vote | DataError]:
        """The vote on each prompt, in order, or why it cannot be put to the model. A rollout's seed derives from (run
        seed, name, prompt id, index) alone."""
        asked: dict[int, RolloutGroup] = {}
        found: dict[int, Vote | DataError] = {}
        for i, prompt in enumerate(prompts):
            try:
                asked[i] = RolloutGroup(prompt, self.encoder(prompt), ())
            except DataError as error:
                found[i] = error
        requests = [Request(group.encoded, self._seeds(name, group.prompt.id)) for group in asked.values()]
        answered = self.engine.generate(requests, self._sampling) if requests else []
        for (i, group), rollouts in zip(asked.items(), answered, strict=True):
            found[i] = self._vote(RolloutGroup(group.prompt, group.encoded, rollouts))
        return [found[i] for i in range(len(prompts))]

    def _vote(self, group: RolloutGroup) -> Vote:
        rules = RewardSettings(name="majority_vote", quorum=self.stage.filters.quorum)
        return group_vote(group, self.stage.answers, rules, seed=self.seed)

    def _seeds(self, name: str, prompt_id: str) -> tuple[int, ...]:
        return tuple(derive_seed(self.seed, name, prompt_id, i) for i in range(self.stage.num_samples))

    @property
    def _sampling(self) -> Sampling:
        rollout = self.stage.rollout
        return Sampling(rollout.temperature, rollout.top_p, rollout.max_new_tokens)
