"""The reward of who asks (R-Zero, arXiv 2508.05004; VisPlay, arXiv 2511.15661): a question is worth the more, the less
sure the answers to it are, and the less the group has asked it already.

The prompts of such a stage ask for a question about their pictures ("ask" prompts, `synth/templates.py`), so the
rollouts of a group are questions. Each is put to the policy of this moment, and the share of its majority answer says
how hard it is. No label is read, and nothing here knows whether a question has an answer at all: one without also
divides the answers. That is what filters are for (`synth/filters.py`) when questions are written for training.

Departures: R-Zero scales the uncertainty to [0, 1], as 1 - 2 |s - 1/2|, and cuts rewards off at 0, where a question
that cannot be read stands too; here it is min(s, 1 - s) as in VisPlay, nothing is cut off, and what cannot be read gets
less than anything that can, or a group that only repeats itself would learn to write nothing. Repetition is measured by
words (`questions/sameness.py`), not by BLEU, and a question nobody else has asked costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmupt.answers.settings import AnswerSettings
from mmupt.data.columns import PLACEHOLDER
from mmupt.engines.base import Request
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder
from mmupt.questions.reading import read_question
from mmupt.questions.sameness import clusters
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Cluster, EncodedPrompt, GroupScore, Prompt, RolloutGroup, Vote

Place = tuple[int, str]
"""A question of a group: which group, and its text."""


@dataclass(frozen=True, slots=True)
class _Asked:
    prompt: Prompt
    encoded: EncodedPrompt
    visit: int


class Questioner(Reward):
    """r_i = min(s_i, 1 - s_i) - w (|C_i| - 1) / G for a question, -w for what is none.

    s_i is the share of its majority answer among `reward.solver_size` answers of the policy (0 for as many as the group
    has questions), 0 where the quorum is missed and where it is too long to be put. C_i are the questions of the group
    that are linked to it by near-duplication, itself included; w is `reward.repetition_weight`. So r_i lies in
    [-w, 1/2]. Questions of the same words in one group are answered once.

    The vote of the score is about the questions themselves: its answers are the questions (None: none could be read),
    its clusters the C; nobody wins. The components are `solver_share` (s) and `repetition`, (|C_i| - 1) / G.
    """

    name = "questioner"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed
        settings = tools.encoder.settings.model_copy(update={"suffix": reward.answer_suffix})
        self._encoder = PromptEncoder(tools.encoder.family, settings)

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        questions = [
            [read_question(rollout.text, cut_off=rollout.stop == "length").text for rollout in group.rollouts]
            for group in groups
        ]
        shares = self._solver_shares(groups, questions)
        return [
            self._score(asked, [shares.get((k, text), 0.0) if text is not None else 0.0 for text in asked])
            for k, asked in enumerate(questions)
        ]

    def _score(self, questions: Sequence[str | None], shares: Sequence[float]) -> GroupScore:
        repeated = repetition(questions)
        weight = self._reward.repetition_weight
        rewards = [
            uncertainty(share) - weight * again if text is not None else -weight
            for text, share, again in zip(questions, shares, repeated, strict=True)
        ]
        return GroupScore(
            tuple(rewards), _vote(questions), {"solver_share": tuple(shares), "repetition": tuple(repeated)}
        )

    def _solver_shares(
        self, groups: Sequence[RolloutGroup], questions: Sequence[Sequence[str | None]]
    ) -> dict[Place, float]:
        """s of each question that can be put to the policy."""
        asked: dict[Place, _Asked] = {}
        for k, (group, texts) in enumerate(zip(groups, questions, strict=True)):
            for text in dict.fromkeys(text for text in texts if text is not None):
                prompt = _prompt(group.prompt, text)
                try:
                    asked[k, text] = _Asked(prompt, self._encoder(prompt), group.visit)
                except DataError:  # too long with its picture, or it spells a reserved token
                    continue
        size = self._reward.solver_size
        requests = [
            Request(each.encoded, self._seeds(each.prompt.id, each.visit, size or groups[k].size))
            for (k, _), each in asked.items()
        ]
        answered = self._tools.engine.generate(requests, self._tools.sampling) if requests else []
        shares: dict[Place, float] = {}
        for (place, each), rollouts in zip(asked.items(), answered, strict=True):
            group = RolloutGroup(each.prompt, each.encoded, rollouts, each.visit)
            vote = group_vote(group, self._answers, self._reward, seed=self._seed)
            counts = vote.num_answers >= self._reward.quorum * vote.size
            shares[place] = vote.share if counts else 0.0
        return shares

    def _seeds(self, prompt_id: str, visit: int, size: int) -> tuple[int, ...]:
        return tuple(derive_seed(self._seed, "questioner", prompt_id, visit, i) for i in range(size))


def uncertainty(share: float) -> float:
    """min(s, 1 - s), in [0, 1/2]: 0 where all answers agree and where none can be read, most where half of them do."""
    return min(share, 1.0 - share)


def repetition(questions: Sequence[str | None]) -> list[float]:
    """(|C_i| - 1) / G, in [0, 1): how much of the group asks nearly the same; 0 for what is no question."""
    found = [0.0] * len(questions)
    for members in clusters(questions):
        for i in members:
            found[i] = (len(members) - 1) / len(questions)
    return found


def _prompt(ask: Prompt, text: str) -> Prompt:
    """The question about the pictures of the prompt that asked for it. Its id holds its words, so that what is sampled
    for it depends on nothing else."""
    return Prompt(f"{ask.id}#{text}", PLACEHOLDER * len(ask.images) + text, ask.images)


def _vote(questions: Sequence[str | None]) -> Vote:
    found = tuple(Cluster(questions[members[0]] or "", members) for members in clusters(questions))
    tied = len(found) > 1 and len(found[0].members) == len(found[1].members)
    return Vote(len(questions), tuple(questions), found, majority=None, tie=tied)
