"""Labels voted on another view of the same question (Co-rewarding-I, arXiv 2508.00410): votes on the view label the
original, and the other way round, so that no group ever grades itself.

The paper rephrases text. Here a view is another look at the picture (`data/views.py`) and, with "rephrase" among
`reward.views`, the question in the model's own other words. A prompt without pictures whose question stays as it is has
a view that is only a second sample of the same: its labels are still another group's, but share all its errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmupt.answers.reading.boxes import last_box
from mmupt.answers.settings import AnswerSettings
from mmupt.data.columns import PLACEHOLDER
from mmupt.data.views import viewed
from mmupt.engines.base import Request, Sampling
from mmupt.errors import DataError
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.judging import leading_pictures, unadorned
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.teacher import agreeing
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import EncodedPrompt, GroupScore, Prompt, Rollout, RolloutGroup

_NUMBER = re.compile(r"\d+")


class CoReward(Reward):
    """r_i = 1 if answer i is the majority answer of the group's other view at the same visit, else 0; all 0 where that
    has none. The component `teacher_share` is the majority share of the other view."""

    name = "co_reward"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> None:
        self._answers, self._reward, self._tools, self._seed = answers, reward, tools, seed
        self._views = tuple(name for name in reward.views if name != "rephrase")
        self._questions: dict[str, str] = {}  # by prompt id: the question in other words, or as it was

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        """A view of each group, sampled like it. Its `prompt` names the pictures as the data has them; how they look
        in the view follows from (seed, prompt id, visit), and stands in `encoded` alone."""
        if "rephrase" in self._reward.views:
            self._rephrase(
                {group.prompt.id: group.prompt for group in groups if group.prompt.id not in self._questions}
            )
        prompts = [self._reworded(group.prompt) for group in groups]
        encoded = [self._look_again(group, prompt) for group, prompt in zip(groups, prompts, strict=True)]
        requests = [
            Request(view, self._seeds(group, self._tools.rollout.group_size))
            for group, view in zip(groups, encoded, strict=True)
        ]
        answered = self._tools.engine.generate(requests, self._tools.sampling)
        return [
            RolloutGroup(prompt, view, rollouts, group.visit, group.policy_version, role="view")
            for group, prompt, view, rollouts in zip(groups, prompts, encoded, answered, strict=True)
        ]

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        votes = [group_vote(group, self._answers, self._reward, seed=self._seed) for group in groups]
        found = {(g.belongs_to, g.visit, g.role): vote for g, vote in zip(groups, votes, strict=True)}
        scores = []
        for group, vote in zip(groups, votes, strict=True):
            other = found.get((group.belongs_to, group.visit, "answer" if group.role == "view" else "view"))
            label = other.winner.answer if other is not None and other.winner is not None else None
            scores.append(
                GroupScore(
                    agreeing(vote.answers, label, group, self._answers),
                    vote,
                    {"teacher_share": (other.share if other is not None else 0.0,) * group.size},
                    set_aside=None if label is not None else "the other view has no majority",
                )
            )
        return scores

    def state(self) -> dict[str, Any]:
        return {"questions": dict(self._questions)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._questions = dict(state["questions"])

    def _look_again(self, group: RolloutGroup, prompt: Prompt) -> EncodedPrompt:
        if not self._views:
            return self._tools.encoder(prompt)
        seeds = [derive_seed(self._seed, "picture", prompt.id, group.visit, k) for k in range(len(prompt.images))]
        pictures = [viewed(image, self._views, seed) for image, seed in zip(prompt.images, seeds, strict=True)]
        return self._tools.encoder(replace(prompt, images=tuple(pictures)))

    def _seeds(self, group: RolloutGroup, size: int) -> tuple[int, ...]:
        return tuple(derive_seed(self._seed, "view", group.prompt.id, group.visit, i) for i in range(size))

    def _reworded(self, prompt: Prompt) -> Prompt:
        return replace(prompt, question=self._questions.get(prompt.id, prompt.question))

    def _rephrase(self, prompts: Mapping[str, Prompt]) -> None:
        """Each question is put once, without its pictures, and answered greedily."""
        encoder = unadorned(self._tools.encoder)
        asked: dict[str, EncodedPrompt] = {}
        for prompt_id, prompt in prompts.items():
            self._questions[prompt_id] = prompt.question
            pictures, text = leading_pictures(prompt.question)
            if PLACEHOLDER in text:
                continue  # where such a picture belongs in another wording, nobody can say
            request = self._reward.rephrase_prompt.replace("{question}", text)
            try:
                asked[prompt_id] = encoder(Prompt(prompt_id, request))
            except DataError:
                continue
        greedy = Sampling(0.0, 1.0, self._tools.rollout.max_new_tokens)
        requests = [Request(encoded, (0,)) for encoded in asked.values()]
        for prompt_id, (said,) in zip(asked, self._tools.engine.generate(requests, greedy), strict=True):
            if self._usable(said, prompts[prompt_id]):
                pictures, _ = leading_pictures(prompts[prompt_id].question)
                self._questions[prompt_id] = pictures + said.text.strip()

    def _usable(self, said: Rollout, prompt: Prompt) -> bool:
        """Another question that may well be the same: whole, no answer in a box, every number kept, and of a length
        that the model can be asked."""
        text = said.text.strip()
        pictures, old = leading_pictures(prompt.question)
        if said.stop != "end" or not text or text == old.strip() or PLACEHOLDER in text or last_box(text) is not None:
            return False
        if not set(_NUMBER.findall(old)) <= set(_NUMBER.findall(text)):
            return False
        try:
            self._tools.encoder(replace(prompt, question=pictures + text))
        except DataError:
            return False
        return True
