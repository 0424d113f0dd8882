"""The start of a stage: read once and only when somebody needs it, and what it was whatever the policy does."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.packing import PackItem, pack
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.lora import attach_adapter
from mmupt.models.settings import LoraSettings, ModelSettings
from mmupt.models.start import StartModel
from mmupt.types import PackedBatch


class Disk:
    """Reads the model again, and counts."""

    def __init__(self, folder: str) -> None:
        self.folder, self.reads = folder, 0

    def __call__(self) -> nn.Module:
        self.reads += 1
        return load_model(self.folder, ModelSettings(path=self.folder), torch.device("cpu")).model


@pytest.fixture
def disk(tiny_folder: object) -> Disk:
    return Disk(str(tiny_folder))


@pytest.fixture
def batch(random_items: Callable[[int], list[PackItem]]) -> PackedBatch:
    return pack(random_items(0))


def move(model: nn.Module, seed: int = 0) -> None:
    """A training step's worth of damage to everything that is trained."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))


def logprobs(loaded: LoadedModel, batch: PackedBatch) -> Tensor:
    return no_grad_logprobs(loaded, batch, temperature=0.7, chunk=64)


def test_the_second_copy_is_read_once_and_only_when_needed(tiny: LoadedModel, disk: Disk, batch: PackedBatch) -> None:
    start = StartModel(tiny, disk)
    assert disk.reads == 0
    with start.active() as first:
        pass
    with start.active() as second:
        start.logprobs(batch, temperature=1.0, chunk=64)
    start.restore()
    assert disk.reads == 1
    assert first.model is second.model is not tiny.model
    assert not first.model.training and not any(p.requires_grad for p in first.model.parameters())


@pytest.mark.parametrize("frozen_tower", [False, True])
def test_it_says_what_the_stage_began_with(
    tiny: LoadedModel, disk: Disk, batch: PackedBatch, frozen_tower: bool
) -> None:
    """With a vision tower that is trained too: neither may see the other's pictures."""
    if frozen_tower:
        for name, parameter in tiny.model.named_parameters():
            frozen = (*tiny.family.parts["vision"], *tiny.family.parts["projector"])
            parameter.requires_grad_(not name.startswith(frozen))
    began = logprobs(tiny, batch)
    start = StartModel(tiny, disk)
    torch.testing.assert_close(start.logprobs(batch, temperature=0.7, chunk=64), began, rtol=0, atol=1e-5)
    move(tiny.model)
    moved = logprobs(tiny, batch)
    assert (moved - began).abs().max() > 1e-2
    torch.testing.assert_close(start.logprobs(batch, temperature=0.7, chunk=64), began, rtol=0, atol=1e-5)
    assert torch.equal(logprobs(tiny, batch), moved), "asking the start leaves the policy as it is"


def test_the_next_stage_has_another_start(tiny: LoadedModel, disk: Disk, batch: PackedBatch) -> None:
    """One model in memory goes through two stages: the second's start knows nothing of what the first's saw in the same
    pictures, unless they share a tower."""
    StartModel(tiny, disk).logprobs(batch, temperature=0.7, chunk=64)
    move(tiny.model)
    moved = logprobs(tiny, batch)
    second = StartModel(tiny, lambda: copy.deepcopy(tiny.model))
    torch.testing.assert_close(second.logprobs(batch, temperature=0.7, chunk=64), moved, rtol=0, atol=1e-5)

    for name, parameter in tiny.model.named_parameters():
        parameter.requires_grad_(not name.startswith((*tiny.family.parts["vision"], *tiny.family.parts["projector"])))
    with StartModel(tiny, disk).active() as start:
        assert start.pictures is tiny.pictures, "a frozen tower is one for all, and looks at a picture once"


def test_restore_brings_the_start_back_bit_for_bit(tiny: LoadedModel, disk: Disk, batch: PackedBatch) -> None:
    began = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    objects = [id(p) for p in tiny.model.parameters()]
    start = StartModel(tiny, disk)
    for seed in range(2):  # the start itself does not move with the policy that was made of it
        move(tiny.model, seed)
        start.restore()
        assert all(torch.equal(began[name], tensor) for name, tensor in tiny.model.state_dict().items())
    assert [id(p) for p in tiny.model.parameters()] == objects, "an optimiser still holds the right tensors"
    assert all(p.requires_grad for p in tiny.model.parameters())


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "qkv")])
def test_under_lora_the_start_is_the_model_without_its_adapter(
    tiny: LoadedModel, batch: PackedBatch, targets: tuple[str, ...]
) -> None:
    """The second case has adapters in the vision tower as well."""
    began = logprobs(tiny, batch)
    adapted = attach_adapter(tiny, LoraSettings(rank=4, targets=targets), seed=0)
    start = StartModel(adapted, _never)
    move(adapted.model)
    moved = logprobs(adapted, batch)
    assert (moved - began).abs().max() > 1e-2
    torch.testing.assert_close(start.logprobs(batch, temperature=0.7, chunk=64), began, rtol=0, atol=1e-5)
    assert torch.equal(logprobs(adapted, batch), moved), "the adapter is on again, and its pictures are its own"
    with start.active() as active:
        assert active is adapted
    trained = [name for name, p in adapted.model.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in name for name in trained)

    start.restore()
    parameters = dict(adapted.model.named_parameters())
    assert all(not p.any() for name, p in parameters.items() if "lora_B" in name)
    assert all(p.any() for name, p in parameters.items() if "lora_A" in name), "or no gradient would ever come again"
    torch.testing.assert_close(logprobs(adapted, batch), began, rtol=0, atol=1e-5)


def _never() -> nn.Module:
    raise AssertionError("under LoRA there is nothing to read")
