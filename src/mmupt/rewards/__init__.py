"""What a rollout earns. A new reward is one new file and one line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError
from mmupt.rewards.base import Reward
from mmupt.rewards.ground_truth import GroundTruth
from mmupt.rewards.majority_vote import MajorityVote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import LabeledPrompt

LABEL_FREE: dict[str, Callable[[AnswerSettings, RewardSettings, int], Reward]] = {
    "majority_vote": lambda answers, reward, seed: MajorityVote(answers, reward, seed=seed),
}
"""The rewards that are never handed a label: the type of their constructors has no place for one."""

LABELED: dict[str, Callable[[AnswerSettings, RewardSettings, int, Mapping[str, LabeledPrompt]], Reward]] = {
    "ground_truth": lambda answers, reward, seed, labels: GroundTruth(answers, reward, labels, seed=seed),
}
"""The rewards that read gold answers."""


def build_reward(
    reward: RewardSettings,
    answers: AnswerSettings,
    *,
    seed: int,
    labels: Mapping[str, LabeledPrompt] | None,
) -> Reward:
    """The reward that the settings name. Raises ConfigError on an unknown name, or on one that reads labels where
    there are none. A label-free reward is not given `labels` even where there are some."""
    name = reward.name
    if name in LABEL_FREE:
        return LABEL_FREE[name](answers, reward, seed)
    if name in LABELED:
        if labels is None:
            raise ConfigError(
                f'reward.name "{name}" reads gold answers, and this stage has none; '
                f"give it labelled data, or use one of: {', '.join(LABEL_FREE)}"
            )
        return LABELED[name](answers, reward, seed, labels)
    raise ConfigError(f'reward.name "{name}" is unknown; choose one of: {", ".join([*LABEL_FREE, *LABELED])}')
