"""The stages that make rows: `targets` to imitate, `pairs` to prefer. A key that the chosen rule does not read is
refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import ReadingStage, Reads
from mmupt.engines.settings import RolloutSettings
from mmupt.selftrain import templates
from mmupt.settings import Settings

Keep = Literal["majority", "self_check", "all", "gold", "data"]
Prefer = Literal["judge", "corrupted", "gold", "gold_over_own"]
Corruption = Literal["low_resolution", "colour_jitter"]

LABELS_KEPT: tuple[Keep, ...] = ("gold", "data")
"""The rules of `targets` that read labels."""
LABELS_PREFERRED: tuple[Prefer, ...] = ("gold", "gold_over_own")
"""The rules of `pairs` that read labels."""

Table = TypeVar("Table", bound=Settings)


_READ_TO_KEEP = {"min_share": ("majority",), "threshold": ("self_check",), "verdict": ("self_check",)}
_READ_TO_PREFER = {
    "margin": ("judge",),
    "verdict": ("judge",),
    "describing": ("corrupted",),
    "per_prompt": ("gold", "gold_over_own"),
}
"""The keys that only some rules read."""


# Helpers stand in front here: a default is validated when its class is made.
_HOLES = ("{question}", "{answer}")


def _missing(template: str, holes: Sequence[str]) -> list[str]:
    return [hole for hole in holes if hole not in template]


def _idle(stage: Settings, key_of_rule: str, readers: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each key that was set and that the stage's rule does not read."""
    rule = getattr(stage, key_of_rule)
    return [
        f'{key} is read by {key_of_rule} = {" and ".join(map(_quoted, names))}, not by "{rule}"; remove it'
        for key, names in readers.items()
        if rule not in names and getattr(stage, key) != type(stage).model_fields[key].default
    ]


def _needs(samples: int, rule: str, rollout: RolloutSettings) -> list[str]:
    if rollout.group_size >= samples:
        return []
    return [
        f'rollout.group_size = {rollout.group_size} is too small: "{rule}" compares answers to one question; '
        f"use {samples} or more"
    ]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _sound(table: Table, problems: Sequence[str]) -> Table:
    if problems:
        raise ValueError("; ".join(problems))
    return table


class SampleSettings(RolloutSettings):
    """`[rollout]` of a stage that only samples: one answer a question is a group too."""

    group_size: int = Field(default=10, ge=1)


class VerdictSettings(Settings):
    """How the model judges an answer of its own.

    `by` is "p_yes" (the probability that its response begins with yes, against no), "sampled" (the share of `samples`
    sampled responses whose answer is yes, for a model that reasons before it decides), or "points" (the mean score that
    `samples` sampled responses end with, 0 to 5). `prompt` has `{question}` and `{answer}`; for "points" `{answer}`
    stands for the whole response. None is the template of `by`.
    """

    by: Literal["p_yes", "sampled", "points"] = "p_yes"
    prompt: str | None = None
    samples: int = Field(default=3, ge=1)

    @property
    def template(self) -> str:
        if self.prompt is not None:
            return self.prompt
        return templates.POINTS if self.by == "points" else templates.CHECK

    @model_validator(mode="after")
    def _fits(self) -> VerdictSettings:
        problems = [f"prompt has no {hole}; put it where it belongs" for hole in _missing(self.template, _HOLES)]
        if self.by == "p_yes" and self.samples != type(self).model_fields["samples"].default:
            problems.append(
                'samples is read by "sampled" and "points", not by "p_yes", which samples nothing; remove it'
            )
        return _sound(self, problems)


class DescribingSettings(Settings):
    """How a picture is described: `good` for a preferred description, one of `plain` for the description in front of a
    question and for the prompt that pairs are learned under, one of `bad` or one of `corruptions` for a rejected
    description. `infused` has `{description}` and `{question}`."""

    good: str = Field(default=templates.GOOD, min_length=1)
    plain: tuple[str, ...] = Field(default=templates.PLAIN, strict=False, min_length=1)
    bad: tuple[str, ...] = Field(default=templates.BAD, strict=False)
    corruptions: tuple[Corruption, ...] = Field(default=("low_resolution", "colour_jitter"), strict=False)
    infused: str = Field(default=templates.INFUSED, min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> DescribingSettings:
        holes = ("{description}", "{question}")
        problems = [f"infused has no {hole}; put it where it belongs" for hole in _missing(self.infused, holes)]
        if not self.bad and not self.corruptions:
            problems.append("bad and corruptions are both empty: nothing would bring a rejected description; fill one")
        if any("<image>" in text for text in (self.good, *self.plain, *self.bad, self.infused)):
            problems.append("prompts are put behind the pictures of a row and must not hold <image>; remove it")
        return _sound(self, problems)


class MakingStage(ReadingStage):
    """What both kinds have. `rollout.group_size` answers a question are sampled; `per_prompt` is the most rows that one
    question may bring, 0 for as many as there are. `micro_batch_tokens` and `logprob_chunk` bound the forwards of
    "p_yes" as they do in training."""

    rollout: SampleSettings = SampleSettings()
    answers: AnswerSettings = AnswerSettings()
    verdict: VerdictSettings = VerdictSettings()
    describing: DescribingSettings = DescribingSettings()
    per_prompt: int = Field(default=0, ge=0)
    micro_batch_tokens: int = Field(default=16_384, ge=16)
    logprob_chunk: int = Field(default=1_024, ge=1)


class TargetsStage(MakingStage):
    """Rows to imitate: the model's own answers to each question, or some of them.

    `keep` is "majority" (those that agree with the majority of their group; LMSI), "self_check" (those that the model
    itself holds right, with `verdict` above `threshold`; Genixer), "all" (whatever can be read), or, with labels,
    "gold" (those that are right; rejection sampling) and "data" (no answer of the model's: the solution of the data).
    `min_share` is the least share of the group that a majority must have. With `describe` the model describes the
    pictures first, and its description stands in front of the question it is asked and learns from (STIC's second
    stage; as published with "data").
    """

    kind: Literal["targets"]
    keep: Keep = "majority"
    min_share: float = Field(default=0.0, ge=0, le=1)
    threshold: float = Field(default=0.7, ge=0, lt=1)
    describe: bool = False

    @property
    def reads(self) -> Reads:
        return "labels" if self.keep in LABELS_KEPT else "prompts"

    @model_validator(mode="after")
    def _fits(self) -> TargetsStage:
        problems = _idle(self, "keep", _READ_TO_KEEP)
        if not self.describe and self.describing != DescribingSettings():
            problems.append("describing is read with describe = true; set it, or remove the table")
        if self.keep == "data" and not self.describe:
            problems.append('keep = "data" with describe = false makes nothing new; train on the data itself')
        if self.keep == "self_check" and self.verdict.by == "points":
            problems.append('verdict.by "points" is no probability to compare with threshold; use "p_yes" or "sampled"')
        return _sound(self, problems + _needs(2 if self.keep == "majority" else 1, self.keep, self.rollout))


class PairsStage(MakingStage):
    """Preferences between two responses to one prompt.

    `prefer` is "judge" (of the model's own answers, the one it scores best against the one it scores worst, where they
    differ by more than `margin`; SRLM), "corrupted" (a description of the clean picture under a good prompt against one
    under a bad prompt or of a corrupted picture; STIC's first stage), or, with labels, "gold" (a right against a wrong
    own answer) and "gold_over_own" (the solution of the data against an own answer; SPIN).
    """

    kind: Literal["pairs"]
    prefer: Prefer
    margin: float = Field(default=0.0, ge=0)

    @property
    def reads(self) -> Reads:
        return "labels" if self.prefer in LABELS_PREFERRED else "prompts"

    @model_validator(mode="after")
    def _fits(self) -> PairsStage:
        problems = _idle(self, "prefer", _READ_TO_PREFER)
        if self.prefer == "judge" and self.margin >= (5 if self.verdict.by == "points" else 1):
            problems.append(f"margin = {self.margin} is as much as scores can differ; lower it")
        needed = 2 if self.prefer in ("judge", "gold") else 1
        return _sound(self, problems + _needs(needed, self.prefer, self.rollout))
