"""`[evaluation]`: how a model is measured."""

from __future__ import annotations

from pydantic import Field

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import DataSettings, PromptSettings
from mmupt.settings import Settings


class EvaluationSettings(Settings):
    """One greedy answer and `samples` sampled ones for each question; intervals are bootstrapped over questions.

    `start` measures the model before the first stage, `every_stage` after each training stage.
    """

    data: DataSettings
    prompt: PromptSettings = PromptSettings()
    answers: AnswerSettings = AnswerSettings()
    samples: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: int = Field(default=2048, ge=1)
    prompts_at_once: int = Field(default=32, ge=1)
    bootstrap: int = Field(default=1000, ge=100)
    start: bool = True
    every_stage: bool = True
