"""A model whose weights are spread over processes (FSDP2), for the forwards that all of them make together.

Every process has to forward and to go back equally often, and through the same modules: `idle` is for one that has
nothing to do, and a row without pictures shows a trained vision tower a grey one, whose gradient is zero.

What forwards as often and as long as each process needs (sampling, rewards, measurements) cannot go through it, where
all wait for all at every layer: it goes through the plain model. `Replica` keeps that whole beside what is trained;
`shards.py` makes it whole for a while.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mmupt.algo.logprobs import TokenLogprobs
from mmupt.algo.packing import PackItem, pack
from mmupt.models.families.base import PixelLimits
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.runtime.settings import ProcessSettings
from mmupt.types import EncodedPrompt, PackedBatch, Picture

_SIDE = 56
"""Of the grey picture, in pixels."""


class ShardedModel:
    """The weights of `loaded`, spread over `mesh`: all of them, or, with `keep_frozen`, those that are trained, while
    the frozen ones are the plain model's own."""

    def __init__(self, loaded: LoadedModel, mesh: DeviceMesh, settings: ProcessSettings, *, keep_frozen: bool) -> None:
        self.loaded = loaded
        self._mesh = mesh
        self.module: nn.Module = _sharded(loaded, mesh, settings, keep_frozen)
        self.parameters: Mapping[str, nn.Parameter] = {
            name.removeprefix("model."): p for name, p in self.module.named_parameters()
        }
        """By the names of `loaded`, in the order of its parameters; shards, but for frozen ones that are kept."""
        self._grey = () if loaded.pictures.kept_of(loaded.model) else (_grey(loaded),)

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        """Of the parameters, what the optimiser moves."""
        return {name: p for name, p in self.parameters.items() if p.requires_grad}

    def logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int, entropy: bool) -> TokenLogprobs:
        """As `policy_logprobs`, with gradient where it is enabled. Collective."""
        shown = () if batch.pictures else self._grey
        return TokenLogprobs(*self.module(batch, shown, temperature, chunk, entropy))

    def idle(self) -> None:
        """One forward and one backward pass that change no gradient. Collective: the others work meanwhile."""
        logprobs = self.logprobs(self.nothing(), temperature=1.0, chunk=1, entropy=False)
        (0.0 * logprobs.logprobs_T.sum()).backward()

    def nothing(self) -> PackedBatch:
        """A row of two tokens."""
        end = self.loaded.family.turn_end
        prompt = EncodedPrompt(torch.tensor([end]), torch.zeros(3, 1, dtype=torch.long), 1, ())
        return pack([PackItem(prompt, [[end]])])

    def cut(self, whole: Tensor, *, like: Tensor) -> DTensor:
        """What this process holds of a tensor that all have, sharded as `like` is. Nothing is sent."""
        placements = shard(like).placements
        return distribute_tensor(whole.detach().to(self.loaded.device), self._mesh, placements, src_data_rank=None)

    def publish(self) -> None:
        """The plain model has the weights of now where it is whole. Collective."""

    def take_over(self) -> None:
        """The weights of the plain model, where it is whole and somebody has changed it, are those to train."""


class Replica(ShardedModel):
    """What is trained, beside the plain model, which stays whole in every process and is behind until `publish`."""

    def __init__(self, loaded: LoadedModel, mesh: DeviceMesh, settings: ProcessSettings) -> None:
        super().__init__(loaded, mesh, settings, keep_frozen=True)
        plain = dict(loaded.model.named_parameters())
        self._pairs = [(shard(p), plain[name]) for name, p in self.trained.items()]

    @torch.no_grad()
    def publish(self) -> None:
        for own, its in self._pairs:
            its.copy_(whole(own.to(self.loaded.device)))

    @torch.no_grad()
    def take_over(self) -> None:
        for own, its in self._pairs:
            own.to_local().copy_(self.cut(its, like=own).to_local())


class _Forward(nn.Module):
    """What FSDP2 takes for the whole model, so that embedding, head and norms are there for all that a packed row goes
    through, in forward and backward pass."""

    def __init__(self, loaded: LoadedModel, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._loaded = loaded

    def forward(
        self, batch: PackedBatch, shown: tuple[Picture, ...], temperature: float, chunk: int, entropy: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(log-probs, entropy), a tuple because FSDP2 looks for tensors in it. `shown` are pictures that count for
        nothing."""
        # Under autocast a weight's copy in the forward's dtype would outlive the layer it was gathered for.
        caching = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            with self._looking_at(shown):
                found = policy_logprobs(
                    self._loaded, batch, temperature=temperature, chunk=chunk, entropy=entropy, model=self.model
                )
        finally:
            torch.set_autocast_cache_enabled(caching)
        return found.logprobs_T, found.entropy_T

    @contextmanager
    def _looking_at(self, pictures: tuple[Picture, ...]) -> Iterator[None]:
        """Inside, embeddings have 0 added, with all of the tower behind it where there are pictures. So it stands where
        a row's own would: in the backward pass all layers come before it, in every process, and each of them has an
        input with a gradient. (FSDP2 adds a layer's gradients up behind that of its input, or else in the end.)"""
        with self._loaded.autocast():
            features_ND = self._loaded.pictures(self.model, pictures)
        if features_ND is None:
            yield
            return
        grey = 0.0 * features_ND.float().sum()
        model: Any = self.model
        hook = model.get_input_embeddings().register_forward_hook(lambda _, __, embedded_LD: embedded_LD + grey)
        try:
            yield
        finally:
            hook.remove()


def _sharded(loaded: LoadedModel, mesh: DeviceMesh, settings: ProcessSettings, keep_frozen: bool) -> nn.Module:
    """A second tree of modules over the same weights, in which FSDP2 puts shards in the place of them."""
    tensors = (*loaded.model.parameters(), *loaded.model.buffers())
    model = copy.deepcopy(loaded.model, {id(tensor): tensor for tensor in tensors})
    root = _Forward(loaded, model)
    frozen = {p for p in model.parameters() if not p.requires_grad} if keep_frozen else set()
    offload = CPUOffloadPolicy() if settings.cpu_offload else OffloadPolicy()
    alone = _alone(loaded, model)
    for layer in loaded.family.layers(model):
        if layer not in alone and any(p not in frozen for p in layer.parameters()):
            fully_shard(
                layer,
                mesh=mesh,
                reshard_after_forward=settings.reshard_after_forward,
                offload_policy=offload,
                ignored_params=frozen,
            )
    fully_shard(root, mesh=mesh, offload_policy=offload, ignored_params=frozen)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # The loss is a sum whose weights come from the counts of the whole update: gradients add up.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return root


def _alone(loaded: LoadedModel, model: nn.Module) -> set[nn.Module]:
    """Modules that each process calls as often as it has to: a frozen tower's, whose features are computed picture by
    picture and kept. They are gathered with embedding and head, in one piece, before the forward begins."""
    if not loaded.pictures.kept_of(model):
        return set()
    vision = loaded.family.parts["vision"]
    return {module for name, module in model.named_modules() if any(prefix in f"{name}." for prefix in vision)}


def _grey(loaded: LoadedModel) -> Picture:
    return loaded.family.picture(Image.new("RGB", (_SIDE, _SIDE), "grey"), PixelLimits(_SIDE**2, 4 * _SIDE**2))


def shard(parameter: Tensor) -> DTensor:
    """As what it is."""
    assert isinstance(parameter, DTensor), "what is trained in several processes is sharded"
    return parameter


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, put together where it is sharded. Collective where it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
