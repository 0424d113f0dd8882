"""The reward of supervised RL: 1 for a correct answer, else 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmupt.answers.equivalence import grade
from mmupt.answers.settings import AnswerSettings
from mmupt.errors import TrainingError
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, LabeledPrompt, RolloutGroup


class GroundTruth(Reward):
    """r_i = 1 if answer i is correct against the prompt's gold answer, else 0. The vote is filled in for metrics only.

    `labels` maps prompt ids to labelled prompts. Raises TrainingError on a prompt it does not hold.
    """

    name = "ground_truth"

    def __init__(
        self,
        answers: AnswerSettings,
        reward: RewardSettings,
        labels: Mapping[str, LabeledPrompt],
        *,
        seed: int = 0,
    ) -> None:
        self._answers = answers
        self._reward = reward
        self._labels = labels
        self._seed = seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [self._score(group) for group in groups]

    def _score(self, group: RolloutGroup) -> GroupScore:
        label = self._labels.get(group.prompt.id)
        if label is None:
            raise TrainingError(
                f'prompt "{group.prompt.id}" has no gold answer among the {len(self._labels)} labels of this stage; '
                "ground_truth can only score prompts of the labelled data it was built with"
            )
        vote = group_vote(group, self._answers, self._reward, seed=self._seed)
        choices, tolerance = group.prompt.choices, self._answers.tolerance
        rewards = tuple(
            float(grade(a, label.answer, choices=choices, unit=label.unit, tolerance=tolerance)) for a in vote.answers
        )
        return GroupScore(rewards, vote)
