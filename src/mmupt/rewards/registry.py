"""All rewards by name. A new one is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError
from mmupt.rewards.base import Reward
from mmupt.rewards.co_reward import CoReward
from mmupt.rewards.combined import Combined
from mmupt.rewards.ema_vote import EmaVote
from mmupt.rewards.ground_truth import GroundTruth
from mmupt.rewards.likelihood import Likelihood
from mmupt.rewards.majority_vote import MajorityVote
from mmupt.rewards.novelty import Novelty
from mmupt.rewards.own.reward import build_own
from mmupt.rewards.questioner import Questioner
from mmupt.rewards.random_reward import RandomReward
from mmupt.rewards.self_certainty import SelfCertainty
from mmupt.rewards.self_judge import SelfJudge
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.soft_vote import SoftVote
from mmupt.rewards.start_vote import StartVote
from mmupt.rewards.token_entropy import TokenEntropy
from mmupt.rewards.tools import Tools
from mmupt.rewards.verified_vote import VerifiedVote
from mmupt.types import LabeledPrompt

LabelFree = Callable[[AnswerSettings, RewardSettings, Tools, int], Reward]

LABEL_FREE: dict[str, LabelFree] = {
    "majority_vote": lambda answers, reward, tools, seed: MajorityVote(answers, reward, seed=seed),
    "soft_vote": lambda answers, reward, tools, seed: SoftVote(answers, reward, seed=seed),
    "start_vote": lambda answers, reward, tools, seed: StartVote(answers, reward, tools, seed=seed),
    "ema_vote": lambda answers, reward, tools, seed: EmaVote(answers, reward, tools, seed=seed),
    "co_reward": lambda answers, reward, tools, seed: CoReward(answers, reward, tools, seed=seed),
    "self_judge": lambda answers, reward, tools, seed: SelfJudge(answers, reward, tools, seed=seed),
    "verified_vote": lambda answers, reward, tools, seed: VerifiedVote(answers, reward, tools, seed=seed),
    "novelty": lambda answers, reward, tools, seed: Novelty(answers, reward, seed=seed),
    "self_certainty": lambda answers, reward, tools, seed: SelfCertainty(answers, reward, tools, seed=seed),
    "token_entropy": lambda answers, reward, tools, seed: TokenEntropy(answers, reward, tools, seed=seed),
    "likelihood": lambda answers, reward, tools, seed: Likelihood(answers, reward, seed=seed),
    "questioner": lambda answers, reward, tools, seed: Questioner(answers, reward, tools, seed=seed),
    "random": lambda answers, reward, tools, seed: RandomReward(answers, reward, seed=seed),
    "combined": lambda answers, reward, tools, seed: Combined(_terms(answers, reward, tools, seed)),
}
"""The rewards that are never handed a label: neither the type of their constructors nor `Tools` has a place for one."""

LABELED: dict[str, Callable[[AnswerSettings, RewardSettings, int, Mapping[str, LabeledPrompt]], Reward]] = {
    "ground_truth": lambda answers, reward, seed, labels: GroundTruth(answers, reward, labels, seed=seed),
}
"""The rewards that read gold answers."""


def build_reward(
    reward: RewardSettings,
    answers: AnswerSettings,
    *,
    tools: Tools,
    seed: int,
    labels: Mapping[str, LabeledPrompt] | None,
) -> Reward:
    """The reward that the settings name. Raises ConfigError on one that reads labels where there are none, and on one
    of the user's own that cannot be loaded. A label-free reward, which the user's own are too, is not given `labels`
    even where there are some."""
    if reward.name not in LABELED:
        return _label_free(answers, reward, tools, seed)
    if labels is None:
        raise ConfigError(
            f'reward.name "{reward.name}" reads gold answers, and this stage has none; '
            f"give it labelled data, or use one of: {', '.join(LABEL_FREE)}"
        )
    return LABELED[reward.name](answers, reward, seed, labels)


def _label_free(answers: AnswerSettings, reward: RewardSettings, tools: Tools, seed: int) -> Reward:
    if reward.own:
        return build_own(answers, reward, tools, seed=seed)
    return LABEL_FREE[reward.name](answers, reward, tools, seed)


def _terms(answers: AnswerSettings, reward: RewardSettings, tools: Tools, seed: int) -> list[tuple[float, Reward]]:
    """The parts of a combined reward with their weights, each with the voting rules of the whole."""
    shared = {"ties": reward.ties, "quorum": reward.quorum}
    return [
        (
            term.weight,
            _label_free(answers, RewardSettings.model_validate({"name": term.name, **shared}), tools, seed),
        )
        for term in reward.terms
    ]
