"""Asking the start model, about the picture and about another view of it, and reading what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mmupt.answers.settings import AnswerSettings
from mmupt.data.views import viewed
from mmupt.engines.base import Engine, Request, Sampling
from mmupt.errors import DataError
from mmupt.guard.probe.evidence import Evidence, evidence_of_vote
from mmupt.models.encoding import PromptEncoder
from mmupt.rewards.base import group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.teacher import agreeing
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Prompt, RolloutGroup, Vote

VIEWS = ("recolour", "noise")
"""How another view of a picture comes about: mild, so that the answer stays."""


@dataclass(frozen=True, slots=True)
class Probed:
    """One prompt with its vote and what the vote is worth as evidence."""

    prompt: Prompt
    vote: Vote
    evidence: Evidence


def choose(prompts: Sequence[Prompt], n: int, *, seed: int) -> list[Prompt]:
    """`n` of the prompts (all where there are fewer), by their ids and the seed: the order of the data set does not
    matter."""
    return sorted(prompts, key=lambda prompt: derive_seed(seed, "probe", prompt.id))[:n]


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask: `samples` answers a prompt, and as many on another view where it has pictures; read and voted as in
    training, under `answers` and `reward`."""

    encoder: PromptEncoder = field(repr=False)
    engine: Engine = field(repr=False)
    sampling: Sampling
    samples: int
    answers: AnswerSettings
    reward: RewardSettings
    at_once: int
    seed: int

    def ask(self, prompts: Sequence[Prompt], advance: Callable[[int], None] = lambda done: None) -> list[Probed]:
        """The prompts that can be put to the model; those that cannot (too long, a picture that does not open) are
        passed over. `advance` hears how many are done."""
        found: list[Probed] = []
        for begin in range(0, len(prompts), self.at_once):
            found += self._ask(prompts[begin : begin + self.at_once])
            advance(min(begin + self.at_once, len(prompts)))
        return found

    def _ask(self, prompts: Sequence[Prompt]) -> list[Probed]:
        empty = [pair for prompt in prompts if (pair := self._encoded(prompt)) is not None]
        views = [(i, view) for i, (_, view) in enumerate(empty) if view is not None]
        groups = self._sampled("probe", [group for group, _ in empty])
        on_views = dict(zip((i for i, _ in views), self._sampled("probe view", [v for _, v in views]), strict=True))
        return [self._read(group, on_views.get(i)) for i, group in enumerate(groups)]

    def _encoded(self, prompt: Prompt) -> tuple[RolloutGroup, RolloutGroup | None] | None:
        """The prompt and its other view, both still without rollouts."""
        try:
            group = RolloutGroup(prompt, self.encoder(prompt), ())
            if not prompt.images:
                return group, None
            seeds = [derive_seed(self.seed, "probe picture", prompt.id, k) for k in range(len(prompt.images))]
            images = tuple(viewed(image, VIEWS, seed) for image, seed in zip(prompt.images, seeds, strict=True))
            view = self.encoder(replace(prompt, images=images))
        except DataError:
            return None
        return group, RolloutGroup(prompt, view, (), role="view")

    def _sampled(self, name: str, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        if not groups:
            return []
        requests = [
            Request(group.encoded, tuple(derive_seed(self.seed, name, group.prompt.id, i) for i in range(self.samples)))
            for group in groups
        ]
        rollouts = self.engine.generate(requests, self.sampling)
        return [replace(group, rollouts=sampled) for group, sampled in zip(groups, rollouts, strict=True)]

    def _read(self, group: RolloutGroup, on_view: RolloutGroup | None) -> Probed:
        vote = self._vote(group)
        view, kept = None, None
        if on_view is not None and vote.clusters:
            there = self._vote(on_view)
            agrees = agreeing(there.answers, vote.clusters[0].answer, on_view, self.answers)
            view = sum(agrees) / len(agrees)
            kept = bool(there.clusters) and agrees[there.clusters[0].members[0]] == 1.0
        elif on_view is not None:
            view, kept = 0.0, False
        evidence = evidence_of_vote(group.prompt.id, vote, seed=self.seed, view=view, view_kept=kept)
        return Probed(group.prompt, vote, evidence)

    def _vote(self, group: RolloutGroup) -> Vote:
        return group_vote(group, self.answers, self.reward, seed=self.seed)
