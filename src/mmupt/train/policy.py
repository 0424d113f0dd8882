"""What an update moves: the model itself in one process, its shards in many. The loops are the same.

for batch, members in policy.rows(items, budget, clock):     # this process's rows
    loss = ...policy.logprobs(batch, ...)                    # weights of tokens from the counts of the whole update
    loss.backward()
apply_gradients(...)                                         # gradients have been added up
policy.publish()                                             # `policy.loaded` has the new weights
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmupt.algo.logprobs import TokenLogprobs
from mmupt.algo.packing import PackItem, pack, plan_ranks
from mmupt.models.forward import no_grad_logprobs, policy_logprobs
from mmupt.models.loading import LoadedModel, copy_weights
from mmupt.models.lora import has_adapter, read_adapter
from mmupt.models.sharding import Replica, ShardedModel
from mmupt.models.shards import shards_of
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes
from mmupt.runtime.settings import ProcessSettings
from mmupt.runtime.tensors import load_tensors, save_tensors
from mmupt.train.shards import SHARDS, read_shards, write_shards
from mmupt.types import PackedBatch

T = TypeVar("T")

_OPTIMIZER = "optimizer.safetensors"


class Policy:
    """In one process. `loaded` is the model that is trained, that samples and that is measured."""

    def __init__(self, loaded: LoadedModel, processes: Processes = ALONE) -> None:
        self.loaded = loaded
        self.processes = processes

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        """What the optimiser moves, by the names of `loaded`, in the order of its parameters."""
        return {name: p for name, p in self.loaded.model.named_parameters() if p.requires_grad}

    def logprobs(
        self, batch: PackedBatch, *, temperature: float = 1.0, chunk: int = 1024, entropy: bool = False
    ) -> TokenLogprobs:
        """Of one row, with gradient; each row of `rows` once, and then its backward pass."""
        return policy_logprobs(self.loaded, batch, temperature=temperature, chunk=chunk, entropy=entropy)

    def share(self, items: Sequence[PackItem], budget: int) -> list[list[int]]:
        """The rows that this process forwards of an update over `items`, as indices: whole groups, at most `budget`
        positions a row."""
        plan = plan_ranks([item.length for item in items], budget, self.processes.size)
        return plan[self.processes.rank]

    def rows(
        self, items: Sequence[PackItem], budget: int, clock: PhaseClock, beside: StartModel | None = None
    ) -> Iterator[tuple[PackedBatch, list[int]]]:
        """Those rows packed, each with the indices of its groups in the order they were packed. To be taken to the end:
        behind its last row a process keeps step with those that have one more. `beside` is the model whose log-probs
        are asked for in front of the policy's."""
        for row in self.share(items, budget):
            with clock("pack"):
                batch = pack([items[i] for i in row])
            yield batch, row

    def in_step(self, rows: Sequence[T]) -> Iterator[T]:
        """Rows to be forwarded without gradient, by `frozen_logprobs`, each once; to be taken to the end."""
        yield from rows

    def frozen_logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int) -> Tensor:
        """Of one row, without gradient, f32[T]."""
        return no_grad_logprobs(self.loaded, batch, temperature=temperature, chunk=chunk)

    def blame(self, loss: float, prompts: Iterable[str]) -> Iterator[str]:
        """Names of the prompts that a gradient which is not finite comes from: those of the processes whose own share
        of the loss is not, else all. `prompts` are this process's. Nothing is done before it is read. Collective
        then."""
        shares = self.processes.gather((math.isfinite(loss), list(prompts)))
        guilty = [rank for rank, (finite, _) in enumerate(shares) if not finite] or range(len(shares))
        where = (f" (rank {rank})" if self.processes.size > 1 else "" for rank in guilty)
        for rank, place in zip(guilty, where, strict=True):
            yield from (f"{prompt}{place}" for prompt in shares[rank][1])

    def publish(self) -> None:
        """`loaded` has the weights of now."""

    def take_over(self) -> None:
        """The weights of `loaded`, which somebody has changed, are those to train."""

    def read(self, folder: Path) -> None:
        """Weights of a folder that was saved of this policy before, or those of its adapter."""
        if has_adapter(self.loaded.model):
            with self.loaded.adapter_whole():
                read_adapter(self.loaded, folder)
        else:
            self._read_whole(folder)
        self.take_over()

    def _read_whole(self, folder: Path) -> None:
        copy_weights(self.loaded, folder)

    def save_optimizer(self, folder: Path, optimizer: torch.optim.Optimizer) -> None:
        """Into a checkpoint's folder."""
        save_tensors(folder / _OPTIMIZER, optimizer.state_dict())

    def load_optimizer(self, folder: Path, optimizer: torch.optim.Optimizer) -> None:
        """From a checkpoint, whether one process has written it or several. Raises RunFolderError where it is
        damaged."""
        if (folder / SHARDS).exists():
            optimizer.load_state_dict(read_shards(folder / SHARDS, self.trained, optimizer))
        else:
            tree: Any = load_tensors(folder / _OPTIMIZER)
            optimizer.load_state_dict(self._cut(tree))

    def _cut(self, tree: dict[str, Any]) -> dict[str, Any]:
        """An optimiser's state as this process holds it, from the whole one."""
        return tree


class ShardedPolicy(Policy):
    """In many, whose shards are moved. Of a replica `loaded` is whole in each process, the same in all of them, and
    behind until `publish`; else it has no weights but those that it gathers for a while."""

    def __init__(self, loaded: LoadedModel, processes: Processes, settings: ProcessSettings) -> None:
        super().__init__(loaded, processes)
        mesh = processes.mesh(loaded.device)
        assert mesh is not None, "several processes have a mesh"
        self._sharded: ShardedModel = loaded.shards or Replica(loaded, mesh, settings)

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        return self._sharded.trained

    def logprobs(
        self, batch: PackedBatch, *, temperature: float = 1.0, chunk: int = 1024, entropy: bool = False
    ) -> TokenLogprobs:
        return self._sharded.logprobs(batch, temperature=temperature, chunk=chunk, entropy=entropy)

    def rows(
        self, items: Sequence[PackItem], budget: int, clock: PhaseClock, beside: StartModel | None = None
    ) -> Iterator[tuple[PackedBatch, list[int]]]:
        plan = plan_ranks([item.length for item in items], budget, self.processes.size)
        yield from super().rows(items, budget, clock)
        for _ in range(max(map(len, plan)) - len(plan[self.processes.rank])):
            with clock("sync"):
                if beside is not None:
                    beside.idle()
                self._sharded.idle()

    def in_step(self, rows: Sequence[T]) -> Iterator[T]:
        shards = self.loaded.shards
        most = max(self.processes.gather(len(rows))) if shards is not None else 0
        yield from rows
        for _ in range(most - len(rows)):
            shards_of(self.loaded).frozen_idle()

    def frozen_logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int) -> Tensor:
        if (shards := self.loaded.shards) is not None:
            return shards.frozen_logprobs(batch, temperature=temperature, chunk=chunk)
        return super().frozen_logprobs(batch, temperature=temperature, chunk=chunk)

    def _read_whole(self, folder: Path) -> None:
        if (shards := self.loaded.shards) is not None:
            shards.read(folder, self.processes)
        else:
            super()._read_whole(folder)

    def publish(self) -> None:
        self._sharded.publish()

    def take_over(self) -> None:
        self._sharded.take_over()

    def save_optimizer(self, folder: Path, optimizer: torch.optim.Optimizer) -> None:
        write_shards(folder / SHARDS, self.trained, optimizer, main=self.processes.main)

    def _cut(self, tree: dict[str, Any]) -> dict[str, Any]:
        parameters = list(self.trained.values())
        state = {
            index: {
                name: self._sharded.cut(value, like=parameters[index]) if value.dim() else value
                for name, value in moments.items()
            }
            for index, moments in tree["state"].items()
        }
        return {**tree, "state": state}


def policy_of(loaded: LoadedModel, processes: Processes, settings: ProcessSettings) -> Policy:
    """The policy of a stage. Collective."""
    return Policy(loaded) if processes.size == 1 else ShardedPolicy(loaded, processes, settings)
