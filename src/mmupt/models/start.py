"""The model as a stage found it: what a KL term holds on to, what a frozen teacher answers with, and where a stage goes
back to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_off, has_adapter
from mmupt.models.shards import Shards, shards_of
from mmupt.types import PackedBatch


class StartModel:
    """A second copy of the weights, read from the disk when somebody first needs it (after a resume the model in memory
    has moved on); under LoRA the model itself with the adapter switched off, and nothing is read."""

    def __init__(self, loaded: LoadedModel, read: Callable[[], nn.Module]) -> None:
        """`read` gives the second copy; it is called once, if ever."""
        self._loaded, self._read = loaded, read
        self._frozen: nn.Module | None = None
        # The copy is frozen, so what it makes of pictures is kept. Where the policy's tower is trained, its next start
        # is another tower: what this one has kept must go with it.
        shared = loaded.pictures.kept_of(loaded.model)
        self._pictures = loaded.pictures if shared else replace(loaded.pictures)

    @contextmanager
    def active(self) -> Iterator[LoadedModel]:
        """Inside, the model to call."""
        if has_adapter(self._loaded.model):
            with adapter_off(self._loaded.model):
                yield self._loaded
        else:
            yield replace(self._loaded, model=self._weights(), pictures=self._pictures)

    def logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int) -> Tensor:
        """f32[T], without gradient."""
        with self.active() as start:
            return no_grad_logprobs(start, batch, temperature=temperature, chunk=chunk)

    @torch.no_grad()
    def restore(self) -> None:
        """The policy is the start again: its weights are copied back, or the adapter is made to add nothing."""
        policy = self._loaded.model
        if has_adapter(policy):
            for name, parameter in policy.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()
            return
        for mine, its in zip(policy.parameters(), self._weights().parameters(), strict=True):
            mine.copy_(its)

    def idle(self) -> None:
        """For a process without a row, while others ask for log-probs of theirs: nothing, where each can ask alone."""

    def _weights(self) -> nn.Module:
        if self._frozen is None:
            self._frozen = self._read().requires_grad_(False).eval()
        return self._frozen


class ShardedStart(StartModel):
    """The same over processes of which each has a part of the policy: the second copy is cut as well. All of it is
    collective, and log-probs are asked for in step."""

    def __init__(self, loaded: LoadedModel, read: Callable[[], LoadedModel]) -> None:
        """`read` gives the second copy, frozen; it is called once, if ever."""
        super().__init__(loaded, lambda: self._copy.model)
        self._read_shards = read
        self._adapted = has_adapter(loaded.model)

    @cached_property
    def _copy(self) -> LoadedModel:
        return replace(self._read_shards(), pictures=self._pictures)

    @contextmanager
    def active(self) -> Iterator[LoadedModel]:
        if self._adapted:
            with super().active() as start:
                yield start
        else:
            yield self._copy

    def logprobs(self, batch: PackedBatch, *, temperature: float, chunk: int) -> Tensor:
        return self._shards.frozen_logprobs(batch, temperature=temperature, chunk=chunk, adapter=not self._adapted)

    def idle(self) -> None:
        self.logprobs(self._shards.nothing(), temperature=1.0, chunk=1)

    def restore(self) -> None:
        if self._adapted:
            with self._loaded.adapter_whole():
                super().restore()
        else:
            shards_of(self._loaded).fill(self._shards.plain())

    @property
    def _shards(self) -> Shards:
        return shards_of(self._loaded if self._adapted else self._copy)
