"""Labels voted once by the model as the stage found it. A teacher that does not move cannot be led astray by the policy
it teaches, so majority voting's slide into one answer for everything has nothing to slide on (SRT, arXiv 2505.21444,
finds frozen-teacher labels to be what prevents it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmupt.answers.settings import AnswerSettings
from mmupt.models.average import MovingAverage
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.teacher import Teacher, agreeing
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import GroupScore, RolloutGroup


class StartVote(Reward):
    """r_i = 1 if answer i is the start model's majority answer to the question, else 0; all 0 where it has none.

    The start model is asked with as many rollouts as the group has (`teacher_size`), the first time a prompt comes up.
    `refresh` makes the policy of that moment the teacher, and every prompt is asked anew when it comes up.
    """

    name = "start_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed
        self._refreshed: MovingAverage | None = None
        self._refreshes = 0
        self._teacher = self._appoint()

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return taught(self._teacher, groups, self._answers, self._reward, self._seed)

    def refresh(self) -> None:
        self._refreshed = MovingAverage(self._tools.loaded, decay=1.0)
        self._refreshes += 1
        self._teacher = self._appoint()

    def state(self) -> dict[str, Any]:
        return {"labels": self._teacher.state(), "refreshes": self._refreshes}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._refreshes = state["refreshes"]
        self._teacher = self._appoint()
        self._teacher.load_state(state["labels"])

    def tensors(self) -> dict[str, Tensor]:
        return self._refreshed.tensors() if self._refreshed is not None else {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        if tensors:
            self._refreshed = MovingAverage(self._tools.loaded, decay=1.0)
            self._refreshed.load_tensors(tensors)

    def _appoint(self) -> Teacher:
        """A teacher with no labels yet. Each asks with seeds of its own."""
        active = self._tools.start.active if self._refreshed is None else self._refreshed.active
        seed = derive_seed(self._seed, "teacher", self._refreshes)
        return Teacher(active, self._answers, self._reward, self._tools, seed=seed, once=True)


def taught(
    teacher: Teacher, groups: Sequence[RolloutGroup], answers: AnswerSettings, reward: RewardSettings, seed: int
) -> list[GroupScore]:
    """Scores by a teacher's labels. The vote is the group's own; the component `teacher_share` says how sure the
    teacher was."""
    scores = []
    for group, label in zip(groups, teacher.labels(groups), strict=True):
        vote = group_vote(group, answers, reward, seed=seed)
        scores.append(
            GroupScore(
                agreeing(vote.answers, label.answer, group, answers),
                vote,
                {"teacher_share": (label.share,) * group.size},
                set_aside=None if label.answer is not None else "the teacher has no majority",
            )
        )
    return scores
