"""Votes of somebody else than the policy: another model answers the same question, and its majority is the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from mmupt.answers.equivalence import grade
from mmupt.answers.settings import AnswerSettings
from mmupt.engines.base import Request
from mmupt.models.loading import LoadedModel
from mmupt.rewards.base import group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import RolloutGroup


@dataclass(frozen=True, slots=True)
class Label:
    """A teacher's majority answer, None where it had none, and the share of its rollouts that gave it."""

    answer: str | None
    share: float

    def as_json(self) -> list[Any]:
        return [self.answer, self.share]


class Teacher:
    """Answers as `active` lets the model be. With `once`, a prompt is asked the first time it comes up and never
    again, and what it said is part of the state."""

    def __init__(
        self,
        active: Callable[[], AbstractContextManager[LoadedModel]],
        answers: AnswerSettings,
        reward: RewardSettings,
        tools: Tools,
        *,
        seed: int,
        once: bool,
    ) -> None:
        self._active, self._answers, self._reward, self._tools = active, answers, reward, tools
        self._seed, self._once = seed, once
        self._labels: dict[str, Label] = {}

    def labels(self, groups: Sequence[RolloutGroup]) -> list[Label]:
        """The teacher's answer to the question of each group, in order."""
        if not self._once:
            return self._ask(groups)
        new = {group.prompt.id: group for group in groups if group.prompt.id not in self._labels}
        self._labels.update(zip(new, self._ask(list(new.values())), strict=True))
        return [self._labels[group.prompt.id] for group in groups]

    def state(self) -> dict[str, Any]:
        return {prompt_id: label.as_json() for prompt_id, label in self._labels.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._labels = {prompt_id: Label(*entry) for prompt_id, entry in state.items()}

    def _ask(self, groups: Sequence[RolloutGroup]) -> list[Label]:
        if not groups:
            return []
        requests = [
            Request(group.encoded, self._seeds(group, self._reward.teacher_size or group.size)) for group in groups
        ]
        with self._active() as loaded:
            answered = self._tools.engine_of(loaded).generate(requests, self._tools.sampling)
        labels = []
        for group, rollouts in zip(groups, answered, strict=True):
            vote = group_vote(replace(group, rollouts=rollouts), self._answers, self._reward, seed=self._seed)
            labels.append(Label(vote.winner.answer if vote.winner else None, vote.share))
        return labels

    def _seeds(self, group: RolloutGroup, size: int) -> tuple[int, ...]:
        visit = 0 if self._once else group.visit
        return tuple(derive_seed(self._seed, "teacher", group.prompt.id, visit, i) for i in range(size))


def agreeing(
    answers: Sequence[str | None], label: str | None, group: RolloutGroup, settings: AnswerSettings
) -> tuple[float, ...]:
    """1 for each answer that is the label, by the rules that grade answers against gold; all 0 without a label."""
    if label is None:
        return (0.0,) * len(answers)
    choices, tolerance = group.prompt.choices, settings.tolerance
    return tuple(float(grade(answer, label, choices=choices, tolerance=tolerance)) for answer in answers)
