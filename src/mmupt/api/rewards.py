"""Rewards of texts: those that look at nothing but what was answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError
from mmupt.rewards.base import Reward, checked
from mmupt.rewards.majority_vote import MajorityVote
from mmupt.rewards.novelty import Novelty
from mmupt.rewards.own.loading import load_own
from mmupt.rewards.own.naming import locate
from mmupt.rewards.own.reward import OwnFunction
from mmupt.rewards.random_reward import RandomReward
from mmupt.rewards.settings import LABEL_FREE, RewardSettings
from mmupt.rewards.soft_vote import SoftVote
from mmupt.types import EncodedPrompt, GroupScore, Prompt, Rollout, RolloutGroup

_OF_TEXTS: Mapping[str, Callable[..., Reward]] = {
    "majority_vote": MajorityVote,
    "soft_vote": SoftVote,
    "novelty": Novelty,
    "random": RandomReward,
}


class TextReward:
    """A reward of groups of texts. `score` gives the vote beside the rewards."""

    def __init__(self, inner: Reward) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    def __call__(
        self, responses: Sequence[str], *, question: str = "", choices: Sequence[str] | None = None, id: str = ""
    ) -> tuple[float, ...]:
        """One finite number for each of the G responses to one question."""
        return self.score(responses, question=question, choices=choices, id=id).rewards

    def score(
        self, responses: Sequence[str], *, question: str = "", choices: Sequence[str] | None = None, id: str = ""
    ) -> GroupScore:
        """Rewards and vote. `id` names the question where chance decides (random ties) and in messages."""
        prompt = Prompt(id or question, question, choices=tuple(choices) if choices else None)
        rollouts = tuple(_rollout(text) for text in responses)
        group = RolloutGroup(prompt, cast(EncodedPrompt, None), rollouts)  # rewards of texts look at no tensor
        return checked(self._inner.score([group])[0], group)


def reward(
    name: str = "majority_vote", *, extract: str = "lenient", tolerance: float = 0.0, seed: int = 0, **settings: Any
) -> TextReward:
    """The reward called `name`, or one of your own ("rewards.py:name", relative to the working folder), with the keys
    of a recipe's `[reward]` table as `settings`.

    Only rewards that need no model: majority_vote, soft_vote, novelty, random, and functions of your own, for which
    words stand in for tokens (`lengths`, and log-probs of 0). Raises ConfigError for others and for wrong settings.

    >>> reward("soft_vote")(["3", "three", "4", "no idea"])
    (0.5, 0.5, 0.25, 0.0)
    """
    document: dict[str, Any] = {"reward": {"name": name, **settings}}
    from pathlib import Path

    locate(document, Path())
    try:
        read = AnswerSettings(extract=extract, tolerance=tolerance)
        table = RewardSettings.model_validate(document["reward"])
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, f['loc'])) or 'reward'}: {f['msg']}" for f in error.errors(include_url=False)]
        raise ConfigError(faults, where=f'reward "{name}"') from None
    if table.own:
        own = load_own(table.name)
        if own.is_class:
            raise ConfigError(f'reward "{name}" is a class and may need a model; of texts only functions can be asked')
        return TextReward(OwnFunction(own, read, table, seed=seed))
    if name not in _OF_TEXTS:
        why = "needs a model, which a run has" if name in LABEL_FREE else "reads labels; use mmupt.grade"
        raise ConfigError(
            f'reward "{name}" {why}; of texts there are {", ".join(_OF_TEXTS)}, and functions of your own'
        )
    return TextReward(_OF_TEXTS[name](read, table, seed=seed))


def _rollout(text: str) -> Rollout:
    words = max(1, len(text.split()))
    return Rollout(tuple(range(words)), (0.0,) * words, text, "end")
