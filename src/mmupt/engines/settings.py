"""`[rollout]`: how the answers of a group are sampled during training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings


class RolloutSettings(Settings):
    """The group size is written here and nowhere else. Defaults are the paper's (arXiv 2505.22453)."""

    engine: Literal["hf"] = "hf"
    group_size: int = Field(default=10, ge=2)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.99, gt=0, le=1)
    max_new_tokens: int = Field(default=2048, ge=1)
    prompts_at_once: int = Field(default=16, ge=1)
