"""What a server samples with: the HF engine on a model of its own, or vLLM. Weights come from the trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import Finished
from mmupt.engines.hf import HFEngine
from mmupt.engines.server.load import Load
from mmupt.engines.settings import VLLMSettings
from mmupt.errors import EngineError
from mmupt.models.families.base import Family
from mmupt.models.loading import LoadedModel
from mmupt.models.weights import plain_shapes

if TYPE_CHECKING:
    from mmupt.engines.vllm.host import VLLMHost

Weights = Callable[[], Iterator[tuple[str, Tensor]]]


class Backend(Protocol):
    """An engine and the model that it serves."""

    name: str
    family: Family
    config: Any
    shapes: Mapping[str, list[int]]
    """Of every weight that has to come, by its name."""
    device: torch.device
    dtype: torch.dtype
    """The precision that weights are sent in."""
    exact: bool
    """Whether forwards compute in fp32."""

    def start(self, load: Load) -> None:
        """For a trainer that will ask for this. Raises EngineError where it cannot be done."""
        ...

    def take(self, weights: Weights) -> None:
        """What is generated from now on comes from these, and from nobody's caches. `weights` is gone through once."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
        """As `Engine.generate`, without texts."""
        ...

    def close(self) -> None: ...


class HFBackend:
    """The HF engine. `loaded` is the server's own copy of the model."""

    name = "hf"

    def __init__(self, loaded: LoadedModel) -> None:
        model: Any = loaded.model.requires_grad_(False).eval()
        self._loaded, self._prompts = loaded, 1
        self.family, self.config, self.device = loaded.family, model.config, loaded.device
        self.shapes: Mapping[str, list[int]] = plain_shapes(model)
        self.dtype = torch.float32  # what a forward rounds is decided by its autocast, as in the trainer
        self.exact = loaded.dtype == torch.float32

    def start(self, load: Load) -> None:
        self._prompts = load.prompts

    @torch.no_grad()
    def take(self, weights: Weights) -> None:
        parameters = dict(self._loaded.model.named_parameters(remove_duplicate=False))
        for name, weight in weights():
            parameters[name].copy_(weight)
        # A frozen tower's features are kept: those of the tower that was.
        self._loaded = replace(self._loaded, pictures=replace(self._loaded.pictures))

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
        groups = HFEngine(self._loaded, self._prompts).generate(requests, sampling)
        return [[Finished(list(r.token_ids), list(r.logprobs), r.stop) for r in group] for group in groups]

    def close(self) -> None:
        """Nothing is held beyond the process."""


class VLLMBackend:
    """vLLM in the server's process. `skeleton` is the model without weights (on the device "meta"); `dtype` is what a
    forward of the trainer's computes in."""

    name = "vllm"

    def __init__(
        self,
        family: Family,
        skeleton: torch.nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        settings: VLLMSettings,
    ) -> None:
        model: Any = skeleton
        self.family, self.config, self.device = family, model.config, device
        self.shapes: Mapping[str, list[int]] = plain_shapes(skeleton)
        self.dtype = getattr(torch, settings.dtype) if settings.dtype is not None else dtype
        self.exact = self.dtype == torch.float32
        self._trainers_dtype = dtype
        self._settings = settings.model_copy(update={"sleep": False})  # nobody else needs the card
        self._host: VLLMHost | None = None

    def start(self, load: Load) -> None:
        from mmupt.engines.vllm.host import Needs, VLLMHost

        needs = Needs(self._settings, tokens=load.tokens, rollouts=load.prompts * load.group, pixels=load.pixels)
        if self._host is None or self._host.needs != needs:
            self.close()
            self._host = VLLMHost(needs)

    def take(self, weights: Weights) -> None:
        from mmupt.engines.source import Source

        host = self._started()
        host.let_go()
        source = Source(self.family, self.config, self.device, self._trainers_dtype, self.shapes, weights)
        host.hold(object(), source)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
        from mmupt.engines.vllm.asking import ask

        return ask(self._started(), self.family, requests, sampling)

    def close(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def _started(self) -> VLLMHost:
        if self._host is None:
            raise EngineError("the server has not been told what to start vLLM for; please report this")
        return self._host
