"""What a reward is, and what all of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mmupt.answers.extract import extract
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.errors import TrainingError
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.seeds import derive_seed
from mmupt.types import GroupScore, RolloutGroup, Vote

if TYPE_CHECKING:
    from torch import Tensor


class Reward(ABC):
    """Scores groups of rollouts, each as a whole. It sees the groups and what it was built from, nothing else.

    A reward may sample more than it is given (`companions`), may remember (`state`, `tensors`, which checkpoints carry)
    and may follow the policy (`after_step`). Most do none of this.
    """

    name: ClassVar[str]
    """The kind, as recipes spell it."""

    @abstractmethod
    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        """One score a group, in order: one finite reward for each of its rollouts, and its vote. Groups belong
        together by prompt, visit and role alone, never by where they stand."""

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        """Further groups, sampled now, that this reward needs beside those of the step; they are scored and learned
        from like all others. Their `role` tells them apart."""
        return []

    def after_step(self) -> None:
        """The policy has moved."""

    def freeze(self) -> None:
        """A teacher that follows the policy stops doing so, for good. Rewards without such a teacher ignore it."""

    def refresh(self) -> None:
        """A teacher that stands still becomes the policy of this moment. Rewards without such a teacher ignore it."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for a resumed run to be the same run, as JSON values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned."""

    def tensors(self) -> dict[str, Tensor]:
        """The same for tensors."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up what `tensors` returned."""


def read_answers(group: RolloutGroup, answers: AnswerSettings) -> tuple[str | None, ...]:
    """The answers of the G rollouts, None where there is none. A response cut off at its length limit is read like any
    other: an answer it has already closed counts."""
    choices = group.prompt.choices
    return tuple(extract(rollout.text, answers.extract, choices=choices).answer for rollout in group.rollouts)


def group_vote(group: RolloutGroup, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> Vote:
    """The vote of a group. A random tie is broken by (seed, prompt id, visit), so that resuming draws the same."""
    return vote(
        read_answers(group, answers),
        choices=group.prompt.choices,
        tolerance=answers.tolerance,
        ties=reward.ties,
        quorum=reward.quorum,
        seed=derive_seed(seed, "tie", group.prompt.id, group.visit),
    )


def checked(score: GroupScore, group: RolloutGroup) -> GroupScore:
    """The score itself, if it fits the group. Raises TrainingError naming the prompt where it does not."""
    where = f'prompt "{group.prompt.id}" (visit {group.visit})'
    lengths = {"rewards": score.rewards, **score.components}
    if score.advantages is not None:
        lengths["advantages"] = score.advantages
    for name, values in lengths.items():
        if len(values) != group.size:
            raise TrainingError(
                f"{where}: the reward returned {len(values)} {name} for {group.size} rollouts; "
                "a reward must give one number a rollout"
            )
        bad = [k for k, value in enumerate(values) if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"{where}: {name} of rollout {bad[0]} is {values[bad[0]]}; a reward must be finite, "
                "fix the reward that computed it"
            )
    return score
