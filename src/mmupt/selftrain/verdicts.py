"""The model judges its own answers: a score for each response it has given.

"p_yes" is Genixer's self-check (arXiv 2312.06731) for a model that says yes or no at once; "sampled" estimates the same
for a model that reasons first; "points" are the scores of self-rewarding language models (arXiv 2401.10020), the mean
of several sampled judgements, because one varies much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from mmupt.answers.equivalence import same
from mmupt.answers.extract import extract
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.engines.base import Request
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder
from mmupt.rewards.judging import judge_prompt, p_yes, unadorned
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.settings import VerdictSettings
from mmupt.types import Prompt

MOST_POINTS = 5.0
_POINTS = re.compile(r"score[^\w-]{0,8}(\d+(?:\.\d+)?)", re.IGNORECASE)

Statement = tuple[Prompt, str]
"""A question as it was asked, and what is judged as an answer to it."""


class Judge:
    """Puts scores to what was heard. Equal answers to one question are judged once and share their score ("points":
    equal texts). None for what has no answer, for what gets no verdict that can be read, and for what cannot be put to
    the model (0 with "p_yes")."""

    def __init__(self, verdict: VerdictSettings, answers: AnswerSettings, tools: Tools, *, seed: int) -> None:
        self._verdict, self._answers, self._seed = verdict, answers, seed
        self._tools = replace(tools, encoder=_wider(tools, verdict.template))

    def __call__(self, heard: Sequence[Heard]) -> list[Heard]:
        judged = [self._statements(said) for said in heard]
        asked = [(said.prompt, text) for said, texts in zip(heard, judged, strict=True) for text in texts]
        scores = iter(self._scores(asked))
        found = []
        for said, texts in zip(heard, judged, strict=True):
            own: list[float | None] = [None] * len(said.responses)
            for members in texts.values():
                score = next(scores)
                for i in members:
                    own[i] = score
            found.append(said.judged(tuple(own)))
        return found

    def _statements(self, said: Heard) -> dict[str, list[int]]:
        """What is judged, with the responses it stands for."""
        if self._verdict.by == "points":
            texts: dict[str, list[int]] = {}
            for i, response in enumerate(said.responses):
                texts.setdefault(response.text.strip(), []).append(i)
            return texts
        found = vote(said.answers, choices=said.prompt.choices, tolerance=self._answers.tolerance)
        return {cluster.answer: list(cluster.members) for cluster in found.clusters}

    def _scores(self, asked: Sequence[Statement]) -> list[float | None]:
        if self._verdict.by == "p_yes":
            return list(p_yes(asked, self._verdict.template, self._tools))
        if self._verdict.by == "points":
            return self._sampled(asked, unadorned(self._tools.encoder), read_points)
        # As in verified_vote: asked as any question of the stage is, so that the verdict stands where answers do.
        return self._sampled(asked, self._tools.encoder, self._says_yes)

    def _sampled(
        self, asked: Sequence[Statement], encoder: PromptEncoder, read: Callable[[str], float | None]
    ) -> list[float | None]:
        """The mean of what is read from `samples` responses; those that say nothing are left out."""
        requests: dict[int, Request] = {}
        for place, (prompt, text) in enumerate(asked):
            question = judge_prompt(prompt, text, self._verdict.template, encoder.settings, id=prompt.id)
            seeds = tuple(derive_seed(self._seed, "verdict", prompt.id, text, i) for i in range(self._verdict.samples))
            try:
                requests[place] = Request(encoder(question), seeds)
            except DataError:  # too long with what is judged, or that spells a reserved token
                continue
        scores: list[float | None] = [None] * len(asked)
        answered = self._tools.engine.generate(list(requests.values()), self._tools.sampling)
        for place, rollouts in zip(requests, answered, strict=True):
            values = [value for rollout in rollouts if (value := read(rollout.text)) is not None]
            scores[place] = sum(values) / len(values) if values else None
        return scores

    def _says_yes(self, text: str) -> float:
        """What cannot be read confirms nothing."""
        answer = extract(text, self._answers.extract).answer
        return float(answer is not None and same(answer, "yes"))


def _wider(tools: Tools, template: str) -> PromptEncoder:
    """`prompt.max_tokens` bounds the questions of the data: template and response come on top of them."""
    encoder = tools.encoder
    added = tools.rollout.max_new_tokens + len(encoder.family.tokenizer(template)["input_ids"])
    longer = encoder.settings.model_copy(update={"max_tokens": encoder.settings.max_tokens + added})
    return PromptEncoder(encoder.family, longer)


def read_points(text: str) -> float | None:
    """The last score a judgement names, None where there is none between 0 and 5.

    >>> read_points("Relevant, but the sum is wrong. Score: 2"), read_points("**Score:** 4/5"), read_points("Good.")
    (2.0, 4.0, None)
    """
    found = _POINTS.findall(text)
    points = float(found[-1]) if found else -1.0
    return points if 0 <= points <= MOST_POINTS else None
