"""A stage of kind `synth`: questions that the model writes about pictures, filtered by what it can do with them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import ReadingStage, Reads
from mmupt.engines.settings import RolloutSettings
from mmupt.questions.sameness import NEAR
from mmupt.settings import Settings
from mmupt.synth.templates import DIRECT, IN_CONTEXT, faults

REFERENCE_WORDS = (
    "picture", "image", "photo", "photograph", "figure", "diagram", "drawing", "drawn", "graph", "chart", "plot",
    "table", "map", "shown", "shows", "show", "depicted", "displayed", "illustrated", "visible", "seen", "scene",
)  # fmt: skip


class TemplateSettings(Settings):
    """What is asked of the model, beside the pictures: `direct` with nothing but them, `in_context` with `{question}`,
    and where wanted `{answer}` and `{choices}` (without that, choices stand at the end of the question). `{{name}}` is
    {name} to the letter. `prompt.suffix` is not added. The authors of MM-UPT have not published theirs.
    """

    direct: str = Field(default=DIRECT, min_length=1)
    in_context: str = Field(default=IN_CONTEXT, min_length=1)

    @model_validator(mode="after")
    def _placeholders(self) -> TemplateSettings:
        problems = [
            *(f"direct {fault}" for fault in faults(self.direct, ())),
            *(f"in_context {fault}" for fault in faults(self.in_context, ("question", "answer", "choices"))),
        ]
        if not any("in_context" in problem for problem in problems) and faults(self.in_context, needed="question"):
            problems.append("in_context has no {question}; put it where the question belongs")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class WritingSettings(Settings):
    """How questions are sampled; how they are answered stands in `[rollout]`. Hot enough for several to differ."""

    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=256, ge=1)


class FilterSettings(Settings):
    """What a question must be like to be kept. Lengths are in characters, ends included; the others in [0, 1].

    `similarity`: as similar (see `questions/sameness.py`) to an original, or to an earlier question about the same
    picture, it is a near-duplicate. `reference`: how it is found out whether a question needs its picture: "blind" asks
    it without, and lets it go where at least `blind_share` of those answers are the majority answer with the picture;
    "words" wants one of `reference_words`, in any case; "off" trusts it. `quorum`: the least share of the model's own
    answers that must be readable. `share`: the band of majority shares, ends included: below it questions are hopeless,
    above it trivial (the default is what the solver of VisPlay and R-Zero learns from).
    """

    min_length: int = Field(default=8, ge=1)
    max_length: int = Field(default=600, ge=1)
    similarity: float = Field(default=NEAR, gt=0, le=1)
    reference: Literal["blind", "words", "off"] = "blind"
    reference_words: tuple[str, ...] = Field(default=REFERENCE_WORDS, strict=False, min_length=1)
    blind_share: float = Field(default=0.8, gt=0, le=1)
    quorum: float = Field(default=0.5, ge=0, le=1)
    share: tuple[float, float] = Field(default=(0.3, 0.8), strict=False)

    @model_validator(mode="after")
    def _in_order(self) -> FilterSettings:
        problems = []
        if self.min_length > self.max_length:
            problems.append(f"min_length {self.min_length} is larger than max_length {self.max_length}")
        if not 0 <= self.share[0] <= self.share[1] <= 1:
            problems.append(f"share = [{self.share[0]}, {self.share[1]}] must rise and lie between 0 and 1")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class SynthStage(ReadingStage):
    """Writes questions about the pictures of `data` and hands them on as a data set; the model stays as it is.

    `mode` "direct" shows the picture alone, "in_context" one of its questions too, and the answer to that where the
    template has a place for one: what most of the model's own answers say (`answer_from` "majority": no label is read),
    or the label ("gold", the paper's). `candidates` are written for each picture (in_context: each question), and of a
    picture's that pass all filters the first `keep` are kept (0: all). `samples` answers to each decide (0: as many as
    `rollout.group_size`), sampled and read as in training.
    """

    kind: Literal["synth"]
    rollout: RolloutSettings = RolloutSettings()
    answers: AnswerSettings = AnswerSettings()
    mode: Literal["direct", "in_context"] = "direct"
    answer_from: Literal["majority", "gold"] = "majority"
    candidates: int = Field(default=4, ge=1)
    keep: int = Field(default=0, ge=0)
    samples: int = Field(default=0, ge=0)
    templates: TemplateSettings = TemplateSettings()
    writing: WritingSettings = WritingSettings()
    filters: FilterSettings = FilterSettings()

    @property
    def template(self) -> str:
        """The one that the mode uses."""
        return self.templates.direct if self.mode == "direct" else self.templates.in_context

    @property
    def num_samples(self) -> int:
        """How often each question is answered."""
        return self.samples or self.rollout.group_size

    @property
    def shows_answers(self) -> bool:
        """Whether the prompt holds an answer to the original question."""
        return self.mode == "in_context" and not faults(self.template, needed="answer")

    @property
    def reads(self) -> Reads:
        if self.shows_answers and self.answer_from == "gold":
            return "labels"
        return "pictures" if self.mode == "direct" else "prompts"

    @model_validator(mode="after")
    def _fits(self) -> SynthStage:
        if self.answer_from == "gold" and self.mode == "direct":
            raise ValueError('answer_from "gold" is for mode "in_context"; "direct" shows no answer, remove it')
        if self.answer_from == "gold" and not self.shows_answers:
            raise ValueError('answer_from "gold" does nothing: templates.in_context has no {answer}; put it in')
        if self.num_samples < 2:
            raise ValueError("samples = 1 is no vote; take 2 or more, or 0 for rollout.group_size")
        return self
