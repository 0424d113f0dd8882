"""`[evaluation]`: how a model is measured."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import DataSettings, PromptSettings
from mmupt.settings import Settings


class JudgeSettings(Settings):
    """`[evaluation.judge]`: a language model that says whether a response agrees with the gold answer.

    `url` is the base of any OpenAI-compatible endpoint, such as http://localhost:8000/v1; `model` may stay away where
    it serves one model only. The API key is read from the environment variable `key_env` and written nowhere. `timeout`
    is in seconds, for one try; `retries` is how often one is tried again. A judge that thinks aloud needs more
    `max_tokens`. `prompt` names a file with another template (see `judge/protocol.py`).
    """

    url: str
    model: str | None = None
    key_env: str = Field(default="MMUPT_JUDGE_KEY", min_length=1)
    prompt: str | None = None
    workers: int = Field(default=8, ge=1, le=1024)
    timeout: float = Field(default=120.0, gt=0)
    retries: int = Field(default=4, ge=0)
    max_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=0.0, ge=0)

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, a bracket without its partner
            sound = False
        if not sound or any(c.isspace() for c in url):
            raise ValueError("must be an http or https address such as http://localhost:8000/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must not hold a user, a password, ? or #; a key belongs into the variable key_env names")
        return url


class EvaluationSettings(Settings):
    """One greedy answer and `samples` sampled ones for each question; intervals are bootstrapped over questions.

    The questions are those of `data`, of `benchmarks` (`NAME` or `NAME=PATH`, see `mmupt benchmarks`), or of both;
    `limit` takes the first rows of every benchmark. Figures are broken down by the keys of `meta` in `breakdowns`, and
    by those the benchmark names. A `judge` is asked about every response, beside the rules. `start` measures the model
    before the first stage, `every_stage` after each training stage.
    """

    data: DataSettings | None = None
    benchmarks: tuple[str, ...] = Field(default=(), strict=False)
    limit: int | None = Field(default=None, ge=1)
    breakdowns: tuple[str, ...] = Field(default=(), strict=False)
    judge: JudgeSettings | None = None
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

    @model_validator(mode="after")
    def _something_to_measure(self) -> EvaluationSettings:
        if self.data is None and not self.benchmarks:
            raise ValueError("nothing to measure the model on; set evaluation.data.path or evaluation.benchmarks")
        if self.limit is not None and not self.benchmarks:
            raise ValueError("limit is for benchmarks; for data set data.limit")
        return self
