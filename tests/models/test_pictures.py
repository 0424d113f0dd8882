"""How often the vision tower runs, and that nothing changes by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel, freeze
from mmupt.models.lora import attach_adapter, merge_adapter
from mmupt.models.settings import LoraSettings, ModelSettings
from mmupt.types import EncodedPrompt

Encode = Callable[..., EncodedPrompt]


@pytest.fixture
def passes(tiny: LoadedModel) -> list[int]:
    """How many patches each pass of the tower had."""
    seen: list[int] = []
    tower: Any = tiny.model.model.visual  # type: ignore[union-attr]
    tower.register_forward_pre_hook(lambda _, args, kwargs: seen.append(len(args[0])), with_kwargs=True)
    return seen


def frozen(tiny: LoadedModel) -> LoadedModel:
    freeze(tiny.model, tiny.family, ModelSettings(path="x", freeze=("vision", "projector")))
    return tiny


def shared_picture(encode: Encode) -> list[PackItem]:
    """Two questions about one picture, the second of which has another one besides, and one about a third picture."""
    one = encode(np.random.default_rng(0), "Add all dice.", [(84, 56)])
    two = encode(np.random.default_rng(0), "Largest die?", [(84, 56), (56, 56)])
    three = encode(np.random.default_rng(1), "Largest die?", [(56, 84)])
    assert one.pictures[0].key == two.pictures[0].key
    assert len({picture.key for prompt in (one, two, three) for picture in prompt.pictures}) == 3
    return [PackItem(prompt, [[9, 10], [11]]) for prompt in (one, two, three)]


def test_a_picture_that_prompts_share_is_processed_once(
    tiny: LoadedModel, plain: Any, encode: Encode, passes: list[int]
) -> None:
    items = shared_picture(encode)
    logprobs_T = policy_logprobs(tiny, pack(items)).logprobs_T
    assert passes == [4 * (6 + 4 + 6)], "one pass over three distinct pictures"
    expected_T = plain.logprobs(items)
    torch.testing.assert_close(logprobs_T, expected_T, atol=1e-5, rtol=1e-5)
    logprobs_T.sum().backward()
    expected_T.sum().backward()
    theirs = dict(plain.model.named_parameters())
    for name, parameter in tiny.model.named_parameters():
        if "visual" in name:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-4, rtol=1e-3)


def test_while_the_tower_is_trained_every_forward_runs_it(tiny: LoadedModel, encode: Encode, passes: list[int]) -> None:
    batch = pack(shared_picture(encode))
    for _ in range(2):
        policy_logprobs(tiny, batch)
    assert len(passes) == 2


def test_a_frozen_tower_sees_a_picture_once_in_a_run(tiny: LoadedModel, encode: Encode, passes: list[int]) -> None:
    items = shared_picture(encode)
    before = policy_logprobs(tiny, pack(items)).logprobs_T.detach()
    passes.clear()
    frozen(tiny)
    for part in ([items[0]], items, items[1:]):
        logprobs_T = policy_logprobs(tiny, pack(part)).logprobs_T
    assert sorted(passes) == [16, 24, 24], "three pictures, each alone"
    torch.testing.assert_close(logprobs_T, before[-len(logprobs_T) :], atol=1e-5, rtol=1e-5)
    logprobs_T.sum().backward()
    assert all((p.grad is None) == ("visual" in name) for name, p in tiny.model.named_parameters())


def test_what_a_rollout_kept_serves_the_update(tiny: LoadedModel, encode: Encode, passes: list[int]) -> None:
    """Sampling runs in inference mode, whose tensors autograd refuses."""
    item = shared_picture(encode)[0]
    HFEngine(frozen(tiny)).generate([Request(item.encoded, (0, 1))], Sampling(1.0, 1.0, 4))
    policy_logprobs(tiny, pack([item])).logprobs_T.sum().backward()
    assert len(passes) == 1


def test_features_do_not_depend_on_the_company_in_which_a_picture_came_first(tiny: LoadedModel, encode: Encode) -> None:
    """Bit for bit, or a resumed run, which has kept nothing, would be another run."""
    frozen(tiny)
    pictures = [picture for item in shared_picture(encode) for picture in item.encoded.pictures]
    together = tiny.pictures(tiny.model, pictures)
    alone = [replace(tiny.pictures)(tiny.model, [picture]) for picture in pictures]
    assert together is not None and torch.equal(together, torch.cat([f for f in alone if f is not None]))


def test_what_is_kept_stays_within_the_capacity(tiny: LoadedModel, encode: Encode, passes: list[int]) -> None:
    frozen(tiny)
    pictures = [encode(np.random.default_rng(i), "?", [(56, 56)]).pictures[0] for i in range(3)]
    size = 4 * 128 * 4  # tokens x hidden x bytes
    store = replace(tiny.pictures, capacity=2 * size)
    for i in (0, 1, 0, 2, 0, 1):  # 2 drives out 1, which was not asked for longest; 1 comes again
        store(tiny.model, [pictures[i]])
    assert len(passes) == 4
    nothing = replace(tiny.pictures, capacity=0)
    for _ in range(2):
        assert nothing(tiny.model, [pictures[0]]) is not None
    assert len(passes) == 6


def test_an_adapter_inside_the_tower_counts_as_training_it(tiny: LoadedModel, encode: Encode) -> None:
    """gate_proj and its like exist in the tower as well. Kept features would be those of another tower after a step."""
    picture = encode(np.random.default_rng(0), "?", [(84, 56)]).pictures
    everywhere = attach_adapter(tiny, LoraSettings(targets=("gate_proj",)), seed=0)
    before = everywhere.pictures(everywhere.model, picture)
    with torch.no_grad():
        for name, parameter in everywhere.model.named_parameters():
            if "visual" in name and "lora_B" in name:
                parameter.add_(0.5)
    after = everywhere.pictures(everywhere.model, picture)
    assert before is not None and after is not None and not torch.allclose(before, after)
    merged = merge_adapter(everywhere)
    torch.testing.assert_close(merged.pictures(merged.model, picture), after, atol=1e-5, rtol=1e-4)


def test_windows_of_unequal_sizes_in_one_picture(tiny: LoadedModel, plain: Any, encode: Encode) -> None:
    """The tower's window is 4 x 4 merged patches: 10 x 6 of them give full windows, edges and a corner."""
    prompt = encode(np.random.default_rng(0), "Largest die?", [(28 * 10, 28 * 6), (56, 56)])
    assert prompt.pictures[0].tensors["image_grid_thw"].tolist() == [[1, 12, 20]]
    items = [PackItem(prompt, [[9, 10, 11]])]
    found = policy_logprobs(tiny, pack(items)).logprobs_T
    torch.testing.assert_close(found, plain.logprobs(items), atol=1e-5, rtol=1e-5)
