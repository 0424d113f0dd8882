"""A model of which no process has more than its part: all weights are cut over the processes, frozen ones too.

The plain model stays as modules without weights. What has to forward it as it likes makes it whole for a while
(`whole`): one parameter is gathered after another, matrices in the precision that the forward computes in, and all of
it is let go again. What reads weights (a checkpoint, an engine with weights of its own) has them one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mmupt.errors import ConfigError
from mmupt.models.loading import LoadedModel, read_model, read_saved
from mmupt.models.lora import adapter_silent, has_adapter
from mmupt.models.settings import ModelSettings
from mmupt.models.sharding import ShardedModel, shard, whole
from mmupt.models.weights import plain_name, plain_weights
from mmupt.runtime.processes import Processes
from mmupt.runtime.settings import ProcessSettings
from mmupt.types import PackedBatch

Weights = Iterable[tuple[str, Tensor]]
"""By their plain names, one after another; whole tensors that all processes have, or shards."""


class Shards(ShardedModel):
    """All weights of a model. Everything here is collective."""

    def __init__(self, loaded: LoadedModel, mesh: DeviceMesh, settings: ProcessSettings, weights: Weights) -> None:
        """What `loaded` holds itself is let go."""
        if not hasattr(FSDPModule, "reset_iter_state"):
            found = f'torch {torch.__version__} cannot do it; install torch 2.13, or choose "replica"'
            raise ConfigError(found, where="processes.layout")
        hang(loaded.model, _nothing)
        super().__init__(loaded, mesh, settings, keep_frozen=False)
        self._settings = settings
        self._dtypes = computing_dtypes(loaded.model, loaded.dtype)
        self._first = mesh.get_rank() == 0
        self._open = 0
        home = torch.device("cpu") if settings.cpu_offload else loaded.device
        self.module._apply(lambda tensor: torch.empty_like(tensor, device=home) if tensor.is_meta else tensor)
        self.fill(weights)

    @torch.no_grad()
    def fill(self, weights: Weights) -> None:
        """The shards become those of `weights`; what they do not name stays as it is."""
        assert not self._open, "what is whole now would not hear of it"
        own = {plain_name(name): shard(p) for name, p in self.parameters.items()}
        for name, weight in weights:
            if name in own:  # a tied weight has several names, and one shard
                cut = weight if isinstance(weight, DTensor) else self.cut(weight, like=own[name])
                own[name].to_local().copy_(shard(cut).to_local())

    def read(self, folder: Path, processes: Processes) -> None:
        """The weights of a folder that `save_model` wrote, which the first process reads."""
        saved = processes.each(lambda: read_saved(self.loaded, folder, empty=not processes.main))
        self.fill(_sent_one_by_one(saved, self.loaded.device, self._mesh))

    def plain(self) -> Weights:
        """The shards themselves, without an adapter."""
        return ((plain_name(name), p) for name, p in self.parameters.items())

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """See `LoadedModel.weights`."""
        model = self.loaded.model
        if not any(p.is_meta for p in model.parameters()):  # somebody has made it whole
            yield from plain_weights(model)
            return
        with nullcontext() if not has_adapter(model) else self._held(self.trained, self._gathered):
            lies = {p: self.parameters[name] for name, p in model.named_parameters()}
            yield from plain_weights(model, lambda p: self._gathered("", lies[p]))  # type: ignore[index]

    def collect(self, shards: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`shards` as whole tensors in main memory, in the first process; nothing in the others."""
        found = {}
        for name, tensor in shards.items():
            gathered = self._gathered(name, tensor)
            if self._first:
                found[name] = gathered.cpu()
        return found

    def frozen_logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int, adapter: bool = True) -> Tensor:
        """`no_grad_logprobs` of the weights of now, f32[T]; or of those below the adapter."""
        module: Any = self.module
        with torch.no_grad(), nullcontext() if adapter else adapter_silent(module.model):
            found = self.logprobs(batch, temperature=temperature, chunk=chunk, entropy=False).logprobs_T
        module.reset_iter_state()  # no backward pass comes, which would let go of what was gathered for the root
        return found

    def frozen_idle(self) -> None:
        """One such forward, of nothing, while others have one to make."""
        self.frozen_logprobs(self.nothing(), temperature=1.0, chunk=1)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """See `LoadedModel.whole`. A matrix that autocast would cast for each forward comes in the forward's precision;
        all that it leaves in fp32 (norms, embeddings) stays so. Forwards are the same, bit for bit."""
        with self._held(self.parameters, self._computing) if not self._open else nullcontext():
            self._open += 1
            try:
                yield
            finally:
                self._open -= 1

    @property
    def is_whole(self) -> bool:
        """Whether this is inside `whole`."""
        return self._open > 0

    @contextmanager
    def lent_to_first(self) -> Iterator[None]:
        """See `LoadedModel.lent_to_first`."""
        with nullcontext() if self._open else self._held(self.parameters, self._lent):
            yield

    @contextmanager
    def whole_in_first(self) -> Iterator[None]:
        """See `LoadedModel.whole_in_first`."""
        assert not self._open, "it is whole, but not in fp32"
        with self._held(self.trained if has_adapter(self.loaded.model) else self.parameters, self._in_first):
            yield

    @contextmanager
    def adapter_whole(self) -> Iterator[None]:
        """See `LoadedModel.adapter_whole`."""
        assert not self._open, "it is whole, and would not hear of it"
        with self._held(self.trained, self._gathered):
            yield
            self.fill([(name, p) for name, p in self.loaded.model.named_parameters() if name in self.trained])

    def rewrapped(self, wrap: Callable[[nn.Module], nn.Module]) -> LoadedModel:
        """The same weights in the model that `wrap` makes of the plain one, and in shards of their own what it adds.
        What it adds has to be the same in all processes, and to depend on no weights."""
        training = self.loaded.model.training
        hang(self.loaded.model, _shape)
        model = wrap(self.loaded.model).train(training)
        below = dict(self.plain())
        added = [(n, p.detach().clone()) for n, p in model.named_parameters() if plain_name(n) not in below]
        loaded = replace(self.loaded, model=model, pictures=replace(self.loaded.pictures), shards=None)
        return replace(loaded, shards=Shards(loaded, self._mesh, self._settings, chain(below.items(), added)))

    @contextmanager
    def _held(self, shards: Mapping[str, nn.Parameter], as_: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
        """Inside, parameters of the plain model are what `as_` makes of their shards, one after another."""
        with torch.no_grad():
            hang(self.loaded.model, lambda name, p: as_(name, shards[name]) if name in shards else p)
        try:
            yield
        finally:
            hang(self.loaded.model, _nothing)

    def _gathered(self, name: str, tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return whole(shard(tensor.detach().to(self.loaded.device, dtype)))

    def _computing(self, name: str, tensor: Tensor) -> Tensor:
        return self._gathered(name, tensor, self._dtypes[name])

    def _lent(self, name: str, tensor: Tensor) -> Tensor:
        return self._in_first(name, tensor, self._dtypes[name])

    def _in_first(self, name: str, tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        gathered = self._gathered(name, tensor, dtype)
        return gathered.cpu() if self._first else _nothing(name, gathered)


def load_shards(
    path: str,
    settings: ModelSettings,
    device: torch.device,
    processes: Processes,
    how: ProcessSettings,
    *,
    frozen: bool = False,
) -> LoadedModel:
    """As `load_model`, of which no process has more than its part. The first one reads it into its main memory, and
    sends one weight after another. `frozen`, nothing of it is trained. Collective."""
    loaded = processes.each(lambda: read_model(path, settings, device, empty=not processes.main))
    if frozen:
        loaded.model.requires_grad_(False).eval()
    mesh = processes.mesh(device)
    assert mesh is not None, "several processes have a mesh"
    for module in loaded.model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _sent(buffer, device, mesh))
    weights = _sent_one_by_one(loaded.model, device, mesh)
    return replace(loaded, shards=Shards(loaded, mesh, how, weights))


def shards_of(loaded: LoadedModel) -> Shards:
    """Of a model that has them."""
    assert loaded.shards is not None, "the model is whole in this process"
    return loaded.shards


def hang(model: nn.Module, make: Callable[[str, nn.Parameter], Tensor]) -> None:
    """Every parameter of `model` is replaced by what `make` gives for it. What is tied stays tied, what is trained
    is trained."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    for name, p in model.named_parameters():
        made[p] = nn.Parameter(make(name, p), requires_grad=p.requires_grad)
    for module in model.modules():
        for name, p in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(module, name, made[p])


def _nothing(_: str, tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=torch.float32, device="meta")


def _shape(_: str, tensor: Tensor) -> Tensor:
    """Has a shape and no more bytes than one number: enough for peft, which leaves no adapter on the meta device as
    it was."""
    return torch.zeros(()).expand(tensor.shape)


def computing_dtypes(model: nn.Module, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """For each parameter the precision in which a forward in `dtype` uses it, and nothing else does: autocast casts
    what belongs to linear layers. An adapter is added to weights in fp32 as well."""
    cast: dict[nn.Parameter, bool] = {}
    for module in model.modules():
        for p in module.parameters(recurse=False):
            cast[p] = cast.get(p, True) and type(module) is nn.Linear
    return {name: dtype if cast[p] and ".lora_" not in name else torch.float32 for name, p in model.named_parameters()}


def _sent_one_by_one(model: nn.Module, device: torch.device, mesh: DeviceMesh) -> Iterator[tuple[str, Tensor]]:
    """The weights that `model` has in the first process, one after another on the device of every process."""
    waiting = [(name, p.detach()) for name, p in model.named_parameters()]

    def send() -> Iterator[tuple[str, Tensor]]:
        while waiting:
            name, tensor = waiting.pop(0)
            yield name, _sent(tensor, device, mesh)

    return send()


def _sent(tensor: Tensor, device: torch.device, mesh: DeviceMesh) -> Tensor:
    own = torch.empty(tensor.shape, dtype=tensor.dtype, device=device) if tensor.is_meta else tensor.to(device)
    own = own.contiguous()
    dist.broadcast(own, src=0, group=mesh.get_group())
    return own
