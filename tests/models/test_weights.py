"""Plain weights are those of the model alone, whatever is wrapped around it."""

from __future__ import annotations

import torch

from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_off, attach_adapter, merge_adapter
from mmupt.models.settings import LoraSettings
from mmupt.models.weights import plain_weights


def adapted(tiny: LoadedModel) -> LoadedModel:
    """Adapters on a language and a vision projection, with B no longer zero."""
    loaded = attach_adapter(tiny, LoraSettings(rank=4, targets=("q_proj", "qkv", "down_proj")), seed=0)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=rng))
    return loaded


def test_every_parameter_is_there(tiny: LoadedModel) -> None:
    parameters = dict(tiny.model.named_parameters())
    plain = dict(plain_weights(tiny.model))
    assert plain.keys() == {*parameters, "lm_head.weight"}, "a tied head appears under its own name as well"
    assert all(plain[name].data_ptr() == parameter.data_ptr() for name, parameter in parameters.items())
    assert plain["lm_head.weight"].data_ptr() == plain["model.language_model.embed_tokens.weight"].data_ptr()
    assert not any(weight.requires_grad for weight in plain.values())


def test_adapters_are_added_and_the_model_is_left_alone(tiny: LoadedModel) -> None:
    base = {name: weight.clone() for name, weight in plain_weights(tiny.model)}
    loaded = adapted(tiny)
    before = {name: parameter.clone() for name, parameter in loaded.model.named_parameters()}
    plain = dict(plain_weights(loaded.model))
    with adapter_off(loaded.model):
        off = dict(plain_weights(loaded.model))
    assert all(torch.equal(before[name], parameter) for name, parameter in loaded.model.named_parameters())
    assert off.keys() == plain.keys() == base.keys()
    assert all(torch.equal(off[name], base[name]) for name in base)

    merged = dict(merge_adapter(loaded).model.named_parameters())
    changed = {name for name in base if not torch.equal(plain[name], base[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "qkv", "down_proj"}
    for name, weight in merged.items():
        torch.testing.assert_close(plain[name], weight, atol=1e-6, rtol=0)
