"""Labels voted by a slow copy of the policy, an exponential moving average of its weights (Co-rewarding-II,
arXiv 2508.00410: decays of 0.99 to 0.9999; the copy is a mean teacher, arXiv 1703.01780)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmupt.answers.settings import AnswerSettings
from mmupt.models.average import MovingAverage
from mmupt.rewards.base import Reward
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.start_vote import taught
from mmupt.rewards.teacher import Teacher
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, RolloutGroup


class EmaVote(Reward):
    """r_i = 1 if answer i is the averaged model's majority answer at this visit, else 0; all 0 where it has none."""

    name = "ema_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._seed = answers, reward, seed
        self._average = MovingAverage(tools.loaded, reward.ema_decay)
        self._frozen = False
        self._teacher = Teacher(self._average.active, answers, reward, tools, seed=seed, once=False)

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return taught(self._teacher, groups, self._answers, self._reward, self._seed)

    def after_step(self) -> None:
        if not self._frozen:
            self._average.update()

    def freeze(self) -> None:
        self._frozen = True

    def state(self) -> dict[str, Any]:
        return {"frozen": self._frozen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._frozen = bool(state["frozen"])

    def tensors(self) -> dict[str, Tensor]:
        return self._average.tensors()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self._average.load_tensors(tensors)
