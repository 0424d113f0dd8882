"""What a reward is, and what all of them share."""

from __future__ import annotations

import math
from typing import Protocol

from mmupt.answers.extract import extract
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.errors import TrainingError
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.seeds import derive_seed
from mmupt.types import GroupScore, RolloutGroup, Vote


class Reward(Protocol):
    """Scores a group of G rollouts as a whole. It sees the group and what it was built from, nothing else."""

    @property
    def name(self) -> str:
        """The kind, as recipes spell it."""

    def score(self, group: RolloutGroup) -> GroupScore:
        """One finite reward for each of the G rollouts, in their order, and the group's vote."""


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
