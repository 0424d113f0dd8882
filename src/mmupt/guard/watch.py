"""The watch set: prompts kept out of training, which the model of the moment answers again and again on the same
random numbers. What it says is compared with what the start said; nobody knows what is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from mmupt.answers.settings import AnswerSettings
from mmupt.engines.base import Request
from mmupt.errors import DataError
from mmupt.guard.rank import effective_rank, response_states
from mmupt.guard.settings import GuardSettings
from mmupt.guard.signals import NO_ANSWER, answer_shares
from mmupt.rewards.base import group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.teacher import Label, agreeing
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Prompt, RolloutGroup

FEWEST = 8
"""Fewer watched prompts than this tell nothing."""


def hold_out(prompts: Sequence[Prompt], n: int, *, at_least: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """(watched, rest): `n` prompts to watch, at most a tenth of all, and never so many that fewer than `at_least` are
    left to learn from; none where that leaves fewer than FEWEST.

    Which ones depends on their ids and the seed, not on their order, which `rest` keeps.
    """
    n = min(n, len(prompts) // 10, len(prompts) - at_least)
    if n < FEWEST:
        return [], list(prompts)
    ranked = sorted(prompts, key=lambda prompt: derive_seed(seed, "hold out", prompt.id))
    watched = {prompt.id for prompt in ranked[:n]}
    return ranked[:n], [prompt for prompt in prompts if prompt.id not in watched]


@dataclass(frozen=True, slots=True)
class Answered:
    """One watched prompt at one measurement: the share of the samples that give the start's majority answer, whether
    it is still the majority answer, the share of the vote's largest cluster, and all answers by share."""

    agrees: float
    kept: bool
    share: float
    answers: Mapping[str, float]

    @property
    def unreadable(self) -> float:
        return self.answers.get(NO_ANSWER, 0.0)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the model says behind step `step` (0: the start), by prompt id. `rank` is the effective rank of the hidden
    states of its responses; `skipped` prompts could not be encoded."""

    step: int
    prompts: Mapping[str, Answered]
    rank: float | None = None
    skipped: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(state: Mapping[str, Any]) -> Measurement:
        prompts = {prompt_id: Answered(**entry) for prompt_id, entry in state["prompts"].items()}
        return Measurement(state["step"], prompts, state["rank"], state["skipped"])


class Watching(Protocol):
    """What the guard asks of a watch set."""

    def __len__(self) -> int:
        """How many prompts are watched; with 0 nothing else is asked."""
        ...

    def labels(self) -> dict[str, Label]:
        """The majority answers of the model as it is now, by prompt id; asked once, of the start."""
        ...

    def measure(self, step: int, labels: Mapping[str, Label]) -> Measurement:
        """The model as it is now, against those."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Samples with the stage's own engine and settings, reads and votes as training does.

    The start's majority answers come from other samples than its first measurement. Had they the same ones, every
    later measurement would be worse than the first by what the choice of a majority gains from chance alone.
    """

    prompts: Sequence[Prompt]
    tools: Tools = field(repr=False)
    guard: GuardSettings
    answers: AnswerSettings
    reward: RewardSettings
    seed: int

    def __len__(self) -> int:
        return len(self.prompts)

    def labels(self) -> dict[str, Label]:
        found = {}
        for groups in self._asked("watch labels"):
            for group in groups:
                vote = group_vote(group, self.answers, self.reward, seed=self.seed)
                found[group.prompt.id] = Label(vote.winner.answer if vote.winner else None, vote.share)
        return found

    def measure(self, step: int, labels: Mapping[str, Label]) -> Measurement:
        answered: dict[str, Answered] = {}
        states: list[Tensor] = []
        for groups in self._asked("watch"):
            known = [group for group in groups if group.prompt.id in labels]
            answered.update((group.prompt.id, self._answered(group, labels[group.prompt.id])) for group in known)
            if known:
                states += self._states(known)
        rank = self.tools.processes.first(lambda: effective_rank(torch.cat(states)) if states else None)
        return Measurement(step, answered, rank, len(self.prompts) - len(answered))

    def _states(self, groups: Sequence[RolloutGroup]) -> list[Tensor]:
        """What `response_states` says, by group."""
        tools = self.tools
        costs = [group.encoded.length + sum(len(r.token_ids) for r in group.rollouts) for group in groups]

        def states(share: Sequence[RolloutGroup]) -> Sequence[Tensor]:
            if not share:
                return []
            found = response_states(tools.loaded, share, tools.micro_batch_tokens)
            return found.split([group.size for group in share])

        with tools.loaded.whole():
            return tools.processes.map(groups, costs, states)

    def _answered(self, group: RolloutGroup, label: Label) -> Answered:
        vote = group_vote(group, self.answers, self.reward, seed=self.seed)
        agrees = agreeing(vote.answers, label.answer, group, self.answers)
        kept = vote.winner is not None and agrees[vote.winner.members[0]] == 1.0
        return Answered(sum(agrees) / vote.size, kept, vote.share, answer_shares(vote, group.prompt.choices))

    def _asked(self, name: str) -> Iterator[list[RolloutGroup]]:
        """The watched prompts, some at a time so that their pictures need not all be held at once. Those that cannot
        be used (too long, a picture that does not open) are passed over."""
        at_once = self.tools.rollout.prompts_at_once
        for begin in range(0, len(self.prompts), at_once):
            groups = list(self._encoded(self.prompts[begin : begin + at_once]))
            if not groups:
                continue
            requests = [Request(group.encoded, self._seeds(name, group.prompt)) for group in groups]
            rollouts = self.tools.engine.generate(requests, self.tools.sampling)
            yield [
                RolloutGroup(group.prompt, group.encoded, sampled)
                for group, sampled in zip(groups, rollouts, strict=True)
            ]

    def _encoded(self, prompts: Sequence[Prompt]) -> Iterator[RolloutGroup]:
        for prompt in prompts:
            try:
                yield RolloutGroup(prompt, self.tools.encoder(prompt), ())
            except DataError:
                continue

    def _seeds(self, name: str, prompt: Prompt) -> tuple[int, ...]:
        return tuple(derive_seed(self.seed, name, prompt.id, i) for i in range(self.guard.watch_samples))
