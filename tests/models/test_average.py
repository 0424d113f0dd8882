"""The moving average against a loop by hand, and whose weights the model has when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.packing import PackItem, pack
from mmupt.models.average import MovingAverage
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import attach_adapter
from mmupt.models.settings import LoraSettings
from mmupt.runtime.tensors import load_tensors, save_tensors


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def move(model: nn.Module, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn(p.shape, generator=rng))


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_the_average_is_that_of_a_loop_by_hand(tiny: LoadedModel, decay: float) -> None:
    average = MovingAverage(tiny, decay)
    by_hand = {name: p.double() for name, p in weights(tiny.model).items()}
    for seed in range(5):
        move(tiny.model, seed)
        average.update()
        for name, p in weights(tiny.model).items():
            by_hand[name] = decay * by_hand[name] + (1 - decay) * p.double()
    assert average.tensors().keys() == by_hand.keys()
    for name, tensor in average.tensors().items():
        torch.testing.assert_close(tensor.double(), by_hand[name], rtol=0, atol=1e-6)


def test_inside_the_model_computes_with_the_average_and_outside_with_its_own(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    batch = pack(random_items(0))

    def logprobs(loaded: LoadedModel) -> Tensor:
        return no_grad_logprobs(loaded, batch, temperature=1.0, chunk=64)

    first = logprobs(tiny)
    average = MovingAverage(tiny, 0.999)
    move(tiny.model, 0)
    own = weights(tiny.model)
    moved = logprobs(tiny)
    with average.active() as loaded:
        assert torch.equal(logprobs(loaded), first)
    assert torch.equal(logprobs(tiny), moved)
    assert same(weights(tiny.model), own)
    with average.active() as loaded:  # and once more: what was exchanged came back to its place
        assert torch.equal(logprobs(loaded), first)


def test_an_error_inside_leaves_the_policy_with_its_own_weights(tiny: LoadedModel) -> None:
    average = MovingAverage(tiny, 0.5)
    move(tiny.model, 0)
    own, averaged = weights(tiny.model), {name: t.clone() for name, t in average.tensors().items()}
    with pytest.raises(KeyboardInterrupt), average.active():
        assert same(weights(tiny.model), averaged)
        raise KeyboardInterrupt
    assert same(weights(tiny.model), own)
    assert same(average.tensors(), averaged)


def test_what_is_not_trained_is_the_policys_own(tiny: LoadedModel) -> None:
    frozen = {name for name, _ in tiny.model.named_parameters() if "visual" in name}
    for name, p in tiny.model.named_parameters():
        p.requires_grad_(name not in frozen)
    average = MovingAverage(tiny, 0.5)
    assert frozen and average.tensors().keys() == weights(tiny.model).keys() - frozen
    with torch.no_grad():
        for p in tiny.model.parameters():
            p.add_(1.0)
    own = weights(tiny.model)
    with average.active():
        inside = weights(tiny.model)
    assert {name for name in own if torch.equal(own[name], inside[name])} == frozen


def test_under_lora_only_the_adapter_is_averaged(tiny: LoadedModel) -> None:
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    names = MovingAverage(adapted, 0.5).tensors().keys()
    assert names and all("lora_" in name for name in names)


def test_what_a_checkpoint_holds_comes_back_and_follows_nobody(tiny: LoadedModel, tmp_path: Path) -> None:
    average = MovingAverage(tiny, 0.9)
    move(tiny.model, 0)
    average.update()
    save_tensors(tmp_path / "reward.safetensors", average.tensors())
    kept = {name: t.clone() for name, t in average.tensors().items()}
    own = weights(tiny.model)
    assert not same(kept, own)
    for step in range(3):  # with exchanges in between the average still shares no memory with the policy
        with average.active():
            pass
        move(tiny.model, 1 + step)
        assert same(average.tensors(), kept)

    again = MovingAverage(tiny, 0.9)
    assert not same(again.tensors(), kept)
    read = load_tensors(tmp_path / "reward.safetensors")
    again.load_tensors(read)  # type: ignore[arg-type]
    assert same(again.tensors(), kept)
    again.update()
    assert same(read, kept), "what was read stays what it is"  # type: ignore[arg-type]
    average.update()
    assert same(again.tensors(), average.tensors())
