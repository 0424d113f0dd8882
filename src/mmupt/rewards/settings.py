"""`[reward]`: what a rollout earns. One table for all rewards; a key that the chosen one does not read is refused."""

from __future__ import annotations

import difflib
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from mmupt.data.settings import PAPER_SUFFIX
from mmupt.rewards.own.naming import entry_point_names, parse_reference
from mmupt.settings import Settings

LabelFree = Literal[
    "majority_vote",
    "soft_vote",
    "start_vote",
    "ema_vote",
    "co_reward",
    "self_judge",
    "verified_vote",
    "novelty",
    "self_certainty",
    "token_entropy",
    "likelihood",
    "questioner",
    "random",
    "combined",
]
LABEL_FREE: tuple[str, ...] = get_args(LabelFree)
LABELED = ("ground_truth",)

ViewName = Literal["crop", "rotate", "recolour", "rescale", "noise", "rephrase"]

JUDGE_PROMPT = "Question: {question} Answer: {answer} Is this answer right, yes or no?"
REPHRASE_PROMPT = "Say this question in other words, with the same answer. Question: {question}"


def _known(name: str, known: tuple[str, ...]) -> str:
    """`name` itself, if it is one of ours, or can be one of the user's (`rewards/own/naming.py`)."""
    if name in known or parse_reference(name) is not None or name in (offered := entry_point_names()):
        return name
    near = difflib.get_close_matches(name, (*known, *offered), n=1)
    raise ValueError(
        f"must be one of {', '.join((*known, *offered))}, or one of your own such as "
        f'"rewards.py:name" or "package.module:name", not "{name}"' + (f'; did you mean "{near[0]}"?' if near else "")
    )


class RewardTerm(Settings):
    """One part of a `combined` reward: the reward `name` with its default settings, normalised within the group, times
    `weight`."""

    name: str
    weight: float = Field(default=1.0, gt=0)

    @field_validator("name")
    @classmethod
    def _label_free(cls, name: str) -> str:
        return _known(name, LABEL_FREE)

    @property
    def own(self) -> bool:
        """Whether it is a reward of the user's own."""
        return self.name not in LABEL_FREE

    @model_validator(mode="after")
    def _simple(self) -> RewardTerm:
        if self.name == "combined":
            raise ValueError('a term of a combined reward cannot be "combined" itself')
        return self


class RewardSettings(Settings):
    """Read by every reward that votes: `ties` (who wins among equals), `quorum` (the least share of the group that must
    give a readable answer for a vote to count).

    Read by some: `entropy_band` (soft_vote: the semantic entropies, in nats, whose groups are learned from; EMPO),
    `teacher_size` (start_vote, ema_vote: rollouts of the teacher, 0 for as many as the group has), `ema_decay`
    (ema_vote), `views` (co_reward), `judge_range` and `certain_share` (self_judge), `judge_prompt` (self_judge,
    verified_vote; `{question}` and `{answer}` stand for theirs), `verifications` (verified_vote: rollouts that check an
    answer, 0 for as many as the group has), `rephrase_prompt` (co_reward), `solver_size` (questioner: answers to each
    question, 0 for as many as the group has questions), `repetition_weight` (questioner), `answer_suffix` (questioner:
    what stands behind a question when it is answered; `prompt.suffix` stands behind the prompt that asks for one, and
    should be empty there), `terms` (combined).

    In a recipe, a stage that names no reward gets the one of its kind: `rl` "ground_truth", `upt` "start_vote".
    `name` may also be a reward of the user's own (`rewards/own/naming.py`), which is label-free like all of `upt`.
    """

    name: str = "majority_vote"
    ties: Literal["none", "first", "random"] = "none"
    quorum: float = Field(default=0.0, ge=0, le=1)
    entropy_band: tuple[float, float] | None = Field(default=None, strict=False)
    teacher_size: int = Field(default=0, ge=0)
    ema_decay: float = Field(default=0.99, gt=0, lt=1)
    views: tuple[ViewName, ...] = Field(default=("recolour", "noise"), strict=False, min_length=1)
    judge_range: tuple[float, float] = Field(default=(0.8, 1.2), strict=False)
    certain_share: float = Field(default=0.85, gt=0, le=1)
    judge_prompt: str = Field(default=JUDGE_PROMPT, min_length=1)
    rephrase_prompt: str = Field(default=REPHRASE_PROMPT, min_length=1)
    verifications: int = Field(default=0, ge=0)
    solver_size: int = Field(default=0, ge=0)
    repetition_weight: float = Field(default=1.0, ge=0)
    answer_suffix: str = PAPER_SUFFIX
    terms: tuple[RewardTerm, ...] = Field(default=(), strict=False)

    @field_validator("name")
    @classmethod
    def _is_a_reward(cls, name: str) -> str:
        return _known(name, (*LABEL_FREE, *LABELED))

    @property
    def own(self) -> bool:
        """Whether it is a reward of the user's own."""
        return self.name not in (*LABEL_FREE, *LABELED)

    @model_validator(mode="after")
    def _read_by_the_reward(self) -> RewardSettings:
        problems = []
        for key, readers in READERS.items():
            if self.name not in readers and getattr(self, key) != type(self).model_fields[key].default:
                problems.append(f'{key} is read by {", ".join(readers)}, not by "{self.name}"; remove it')
        for key in ("entropy_band", "judge_range"):
            bounds = getattr(self, key)
            if bounds is not None and not 0 <= bounds[0] < bounds[1]:
                problems.append(f"{key} = [{bounds[0]}, {bounds[1]}] must rise from 0 or more")
        for key, holes in (("judge_prompt", ("{question}", "{answer}")), ("rephrase_prompt", ("{question}",))):
            if missing := [hole for hole in holes if hole not in getattr(self, key)]:
                problems.append(f"{key} has no {' and no '.join(missing)}; put it where it belongs")
        if self.name == "combined" and len(self.terms) < 2:
            problems.append('a combined reward needs two or more terms, such as [{name = "soft_vote"}, ...]')
        if problems:
            raise ValueError("; ".join(problems))
        return self


READERS: dict[str, tuple[str, ...]] = {
    "entropy_band": ("soft_vote",),
    "teacher_size": ("start_vote", "ema_vote"),
    "ema_decay": ("ema_vote",),
    "views": ("co_reward",),
    "rephrase_prompt": ("co_reward",),
    "judge_range": ("self_judge",),
    "certain_share": ("self_judge",),
    "judge_prompt": ("self_judge", "verified_vote"),
    "verifications": ("verified_vote",),
    "solver_size": ("questioner",),
    "repetition_weight": ("questioner",),
    "answer_suffix": ("questioner",),
    "terms": ("combined",),
}
"""The keys that only some rewards read."""
