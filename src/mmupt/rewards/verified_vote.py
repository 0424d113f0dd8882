"""Votes that the model has to check (CoVerRL, arXiv 2603.17775): one model is generator and verifier in turn.

After a group has voted, the model is asked whether the majority answer is right and, where there is one, whether the
largest minority answer is. The verifier learns from the vote (yes to the majority, no to the minority), the generator
from those of its groups whose majority the verifier confirms. An error that is merely consistent among samples can so
be refused, and is then learned from by the verifier alone.

A unanimous group gives its verifier nothing but a "yes" to learn, so that on easy data the verifier drifts towards
agreeing with everything; it then refuses nothing, and what is left is majority voting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mmupt.answers.equivalence import same
from mmupt.answers.settings import AnswerSettings
from mmupt.engines.base import Request
from mmupt.errors import DataError
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.judging import judge_prompt
from mmupt.rewards.majority_vote import agreement
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import EncodedPrompt, GroupScore, Prompt, RolloutGroup, Vote

Side = Literal["majority", "minority"]
_VERDICTS: dict[Side, str] = {"majority": "yes", "minority": "no"}
"""What a verifier is paid for saying about an answer of that side."""


class VerifiedVote(Reward):
    """For an answering group r_i = 1 if answer i is the majority answer, else 0, and nothing is learned from it unless
    more than half of the verifications of that answer say "yes". For a verification r_i = 1 if it says what the vote
    says, else 0; a verdict is read as answers are. The component `verified` is the share of "yes".

    Verifications of an answer to the prompt `p` are about `p`, and their prompt is called `p#verify-majority` or
    `p#verify-minority`.
    """

    name = "verified_vote"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        """Verifications of what each group has voted for. None of a group without a majority, and none of an answer
        that cannot be put to the model."""
        asked: list[tuple[RolloutGroup, Prompt, EncodedPrompt]] = []
        for group in groups:
            for side, answer in _sides(self._vote(group)).items():
                prompt = self._question(group.prompt, side, answer)
                try:
                    asked.append((group, prompt, self._tools.encoder(prompt)))
                except DataError:  # too long with its answer, or the answer spells a reserved token
                    continue
        requests = [
            Request(encoded, self._seeds(prompt, group.visit, self._reward.verifications or group.size))
            for group, prompt, encoded in asked
        ]
        answered = self._tools.engine.generate(requests, self._tools.sampling)
        return [
            RolloutGroup(
                prompt, encoded, rollouts, group.visit, group.policy_version, "verification", about=group.prompt.id
            )
            for (group, prompt, encoded), rollouts in zip(asked, answered, strict=True)
        ]

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        checks = {(g.prompt.id, g.visit): g for g in groups if g.role == "verification"}
        return [
            self._verifier(group)
            if group.role == "verification"
            else self._generator(group, checks.get((_name(group.prompt.id, "majority"), group.visit)))
            for group in groups
        ]

    def _generator(self, group: RolloutGroup, check: RolloutGroup | None) -> GroupScore:
        vote = self._vote(group)
        yes = _share(self._vote(check), "yes") if check is not None else 0.0
        refused = "not verified" if check is None else "refused by the verifier" if yes <= 0.5 else None
        return GroupScore(
            agreement(vote),
            vote,
            {"verified": (yes,) * group.size},
            set_aside=refused if vote.winner is not None else "no majority to verify",
        )

    def _verifier(self, group: RolloutGroup) -> GroupScore:
        side: Side = "majority" if group.prompt.id == _name(group.belongs_to, "majority") else "minority"
        vote = self._vote(group)
        rewards = tuple(float(_says(answer, _VERDICTS[side])) for answer in vote.answers)
        return GroupScore(rewards, vote, {"verified": (_share(vote, "yes"),) * group.size})

    def _vote(self, group: RolloutGroup) -> Vote:
        return group_vote(group, self._answers, self._reward, seed=self._seed)

    def _question(self, prompt: Prompt, side: Side, answer: str) -> Prompt:
        """Asked as any question of the stage is, with `prompt.suffix`, so that the verdict stands where answers do."""
        name, settings = _name(prompt.id, side), self._tools.encoder.settings
        return judge_prompt(prompt, answer, self._reward.judge_prompt, settings, id=name)

    def _seeds(self, prompt: Prompt, visit: int, size: int) -> tuple[int, ...]:
        return tuple(derive_seed(self._seed, "verify", prompt.id, visit, i) for i in range(size))


def _name(prompt_id: str, side: Side) -> str:
    return f"{prompt_id}#verify-{side}"


def _sides(vote: Vote) -> dict[Side, str]:
    """The answers to verify."""
    if vote.winner is None:
        return {}
    sides: dict[Side, str] = {"majority": vote.winner.answer}
    others = [cluster.answer for cluster in vote.clusters if cluster is not vote.winner]
    if others:
        sides["minority"] = others[0]  # clusters come largest first
    return sides


def _says(answer: str | None, verdict: str) -> bool:
    return answer is not None and same(answer, verdict)


def _share(vote: Vote, verdict: str) -> float:
    """Of all rollouts: what cannot be read confirms nothing."""
    return sum(_says(answer, verdict) for answer in vote.answers) / vote.size
