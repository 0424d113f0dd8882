"""`[model]`: which model is trained, what of it, and in which precision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.algo.settings import AttentionKind
from mmupt.settings import Settings

Part = Literal["vision", "projector", "language"]


class LoraSettings(Settings):
    """Low-rank adapters through peft; the reference policy is the model with the adapter switched off. There is no
    dropout: it would make the log-probs of one policy differ between two forwards."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    targets: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        strict=False,
        min_length=1,
    )


class ModelSettings(Settings):
    """`path` is a local folder, a Hugging Face id, or `world:tiny` or `world:medium` (built on the spot for the
    offline world)."""

    path: str = Field(min_length=1, description="a local folder, a Hugging Face id, world:tiny or world:medium")
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: AttentionKind = "auto"
    freeze: tuple[Part, ...] = Field(default=(), strict=False)
    gradient_checkpointing: bool = False
    picture_cache_mib: int = Field(default=1024, ge=0)  # features of pictures kept while the vision tower is frozen
    lora: LoraSettings | None = None
