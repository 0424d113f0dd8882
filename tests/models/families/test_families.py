"""Every family against the slow, obvious reference: each rollout alone through transformers' own model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmupt.algo.attention.dense import DenseAttention
from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.errors import ConfigError, DataError
from mmupt.models.families import FAMILIES
from mmupt.models.families.base import PixelLimits
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import load_model, save_model
from mmupt.models.lora import attach_adapter, merge_adapter
from mmupt.models.settings import LoraSettings, ModelSettings

TEMPERATURE = 0.7
SAMPLING = Sampling(temperature=TEMPERATURE, top_p=1.0, max_new_tokens=14)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}


def relative_error(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    difference = sum((ours[n] - theirs[n]).square().sum() for n in ours)
    return float((difference / sum(g.square().sum() for g in theirs.values())).sqrt())


def test_every_known_family_has_a_tiny_model(builds: dict[str, Any]) -> None:
    assert builds.keys() == FAMILIES.keys()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_equals_repeated(tiny_family: Any, checkpointing: bool) -> None:
    """Two pictures, one, none; ragged completions; all groups in one row."""
    loaded, plain = tiny_family.load(gradient_checkpointing=checkpointing), tiny_family.plain()
    items = tiny_family.items(loaded, seed=int(checkpointing))
    expected = torch.cat(
        [tiny_family.logprobs(plain, item.encoded, c, TEMPERATURE) for item in items for c in item.completions]
    )
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    (expected * weights).sum().backward()
    packed = policy_logprobs(loaded, pack(items), temperature=TEMPERATURE, chunk=7).logprobs_T
    (packed * weights).sum().backward()
    assert (packed - expected).abs().max() < 1e-5
    assert relative_error(gradients(loaded.model), gradients(plain)) < 1e-5
    trained = {name.split(".")[1] for name in gradients(loaded.model)}
    assert trained >= {prefix.split(".")[1] for p in loaded.family.parts.values() for prefix in p} - {""}


def test_sampled_logprobs_are_the_trainers_and_no_placeholder_is_sampled(tiny_family: Any) -> None:
    """Under a head that would say nothing but what must not be said, where it may."""
    loaded, plain = tiny_family.load(), tiny_family.plain()
    prompts = [item.encoded for item in tiny_family.items(loaded, seed=3)]
    banned = torch.tensor(loaded.family.banned_ids)
    bias = torch.zeros(loaded.family.head(loaded.model).weight.shape[0])
    bias[banned[::2]] = 3.0
    for model in (loaded.model, plain):
        model.get_output_embeddings().register_forward_hook(lambda _module, _inputs, logits: logits + bias)
    requests = [Request(p, tuple(range(10 * i, 10 * i + 3 + i))) for i, p in enumerate(prompts)]
    groups = HFEngine(loaded, prompts_at_once=2).generate(requests, SAMPLING)
    for request, group in zip(requests, groups, strict=True):
        for rollout in group:
            expected = tiny_family.logprobs(plain, request.encoded, rollout.token_ids, TEMPERATURE)
            torch.testing.assert_close(torch.tensor(rollout.logprobs), expected.detach(), atol=2e-5, rtol=0)
            assert not set(rollout.token_ids) & set(loaded.family.banned_ids)
            assert loaded.family.image_id not in rollout.token_ids  # type: ignore[attr-defined]
    batch = pack([PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(requests, groups, strict=True)])
    ours = policy_logprobs(loaded, batch, temperature=TEMPERATURE).logprobs_T
    reported = torch.tensor([p for g in groups for x in g for p in x.logprobs])
    assert (ours - reported).abs().max() < 1e-5
    assert max(len(x.token_ids) for g in groups for x in g) > 8, "long enough to leave a window behind"


def test_saved_and_loaded_again_it_is_the_same_model(tiny_family: Any, tmp_path: Path) -> None:
    first = tiny_family.load()
    save_model(first, tmp_path / "again")
    again = load_model(str(tmp_path / "again"), ModelSettings(path="x"), torch.device("cpu"))
    for (name, a), (other, b) in zip(first.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b)
    one, two = (pack(tiny_family.items(loaded, seed=5)) for loaded in (first, again))
    assert torch.equal(one.input_ids_L, two.input_ids_L) and torch.equal(one.positions_3L, two.positions_3L)
    with torch.no_grad():
        assert torch.equal(policy_logprobs(first, one).logprobs_T, policy_logprobs(again, two).logprobs_T)
    assert again.family.banned_ids == first.family.banned_ids and again.family.end_ids == first.family.end_ids
    for name, content in tiny_family.build.files.items():
        assert (tmp_path / "again" / name).read_text() == (tiny_family.folder / name).read_text(), content


def test_parts_cover_the_whole_model(tiny_family: Any) -> None:
    loaded = tiny_family.load()
    prefixes = tuple(p for part in loaded.family.parts.values() for p in part)
    assert all(name.startswith(prefixes) for name, _ in loaded.model.named_parameters())


def test_length_is_known_without_pixels(tiny_family: Any) -> None:
    if not tiny_family.build.pictures:
        pytest.skip("reads no pictures")
    loaded = tiny_family.load()
    family, rng = loaded.family, np.random.default_rng(0)
    for limits in (PixelLimits(28 * 28, 20_000), PixelLimits(56 * 56, 4000)):
        for count in (1, 1, 1, 1, 2, 3):
            sizes = [(int(w), int(h)) for w, h in rng.integers(20, 300, (count, 2))]
            images, said = tiny_family.images(rng, sizes), tiny_family.messages("Add all dice.", count)
            encoded = family.encode(said, [family.picture(image, limits) for image in images])
            assert family.count_tokens(said, sizes, limits) == encoded.length


def test_other_engines_know_where_the_features_of_a_picture_stand(tiny_family: Any) -> None:
    """In order, each placeholder once, as many as the tower makes features."""
    loaded = tiny_family.load()
    for prompt in (item.encoded for item in tiny_family.items(loaded, seed=4)):
        places = loaded.family.placeholders(prompt)
        features = loaded.family.features(loaded.model, prompt.pictures) if prompt.pictures else []
        assert [len(at) for at in places] == [len(feature) for feature in features]
        image_id = loaded.family.image_id
        found = torch.cat(places) if places else torch.tensor([], dtype=torch.long)
        assert torch.equal(found, (prompt.token_ids == image_id).nonzero()[:, 0])
        if loaded.family.not_in_vllm is None:
            for picture in prompt.pictures:
                assert "pixel_values" in loaded.family.for_vllm(picture)


def test_a_frozen_tower_sees_a_picture_once(tiny_family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a trained one once for all groups of a forward that share it."""
    if not tiny_family.build.pictures:
        pytest.skip("reads no pictures")
    calls: list[int] = []
    frozen = tiny_family.load(freeze=("vision", "projector"))
    whole = type(frozen.family).features

    def counted(self: object, model: object, pictures: Any) -> list[Tensor]:
        calls.append(len(pictures))
        return whole(self, model, pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(type(frozen.family), "features", counted)
    for loaded, expected in ((frozen, [1, 1, 1]), (tiny_family.load(), [3, 3])):
        items = tiny_family.items(loaded, seed=1)
        batch = pack([*items, *(replace(item, completions=[[5]]) for item in items)])
        calls.clear()
        with torch.no_grad():
            policy_logprobs(loaded, batch)
            policy_logprobs(loaded, batch)
        assert calls == expected


def test_a_reserved_token_in_a_question_is_refused(tiny_family: Any) -> None:
    loaded = tiny_family.load()
    token = loaded.family.image_token or "<|im_start|>"  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="reserves"):
        loaded.family.encode(tiny_family.messages(f"What is {token}?", 0), [])


def test_more_pictures_than_placeholders_are_refused(family_named: Callable[[str], Any]) -> None:
    tiny = family_named("qwen2_vl")
    loaded = tiny.load()
    (image,) = tiny.images(np.random.default_rng(0), [(56, 56)])
    picture = loaded.family.picture(image, PixelLimits(784, 20_000))
    with pytest.raises(DataError, match="1 picture placeholders for 2 pictures"):
        loaded.family.encode(tiny.messages("Add", 1), [picture, picture])


def logprobs(loaded: Any, items: Any) -> Tensor:
    with torch.no_grad():
        return policy_logprobs(loaded, pack(items), temperature=TEMPERATURE).logprobs_T


@pytest.mark.parametrize("name", ["gemma3", "qwen2_5_vl", "qwen2"])
def test_sliding_windows_matter(family_named: Callable[[str], Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would pass in vain if they hid nothing."""
    tiny = family_named(name)
    loaded = tiny.load()
    items = tiny.items(loaded, seed=0)
    right = logprobs(loaded, items)
    whole = DenseAttention._masks_of
    monkeypatch.setattr(DenseAttention, "_masks_of", lambda self, window: whole(self, None))
    assert (logprobs(loaded, items) - right).abs().max() > 1e-2


def test_a_picture_that_is_seen_both_ways_matters(family_named: Callable[[str], Any]) -> None:
    tiny = family_named("gemma3")
    loaded = tiny.load()
    items = tiny.items(loaded, seed=0)
    causal = [replace(item, encoded=replace(item.encoded, blocks=())) for item in items]
    assert [len(item.encoded.blocks) for item in items] == [2, 1, 0]
    assert (logprobs(loaded, causal) - logprobs(loaded, items)).abs().max() > 1e-2


def test_features_of_several_depths_matter(family_named: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = family_named("qwen3_vl")
    loaded = tiny.load()
    items = tiny.items(loaded, seed=0)
    right = logprobs(loaded, items)
    whole = type(loaded.family)._shown  # type: ignore[attr-defined]
    monkeypatch.setattr(type(loaded.family), "_shown", lambda self, *given: (whole(self, *given)[0], {}))
    assert (logprobs(loaded, items) - right).abs().max() > 1e-2


def test_a_picture_matters(tiny_family: Any) -> None:
    if not tiny_family.build.pictures:
        pytest.skip("reads no pictures")
    loaded, rng = tiny_family.load(), np.random.default_rng(0)
    one, other = (tiny_family.encode(loaded, rng, "Add all dice.", [(90, 60)]) for _ in range(2))
    assert torch.equal(one.token_ids, other.token_ids)
    both = [[PackItem(prompt, [[7, 8, 9]])] for prompt in (one, other)]
    assert (logprobs(loaded, both[0]) - logprobs(loaded, both[1])).abs().max() > 1e-3


def test_bfloat16_is_rounder_than_fp32_and_no_more(tiny_family: Any) -> None:
    loaded = tiny_family.load()
    half = replace(loaded, dtype=torch.bfloat16)
    items = tiny_family.items(loaded, seed=2)
    exact = policy_logprobs(loaded, pack(items)).logprobs_T
    mixed = policy_logprobs(half, pack(items)).logprobs_T
    mixed.sum().backward()
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - exact).abs().mean() < 0.1
    groups = HFEngine(half).generate([Request(item.encoded, (1, 2)) for item in items], SAMPLING)
    sampled = [PackItem(i.encoded, [x.token_ids for x in g]) for i, g in zip(items, groups, strict=True)]
    reported = torch.tensor([p for g in groups for x in g for p in x.logprobs])
    with torch.no_grad():
        assert (
            policy_logprobs(loaded, pack(sampled), temperature=TEMPERATURE).logprobs_T - reported
        ).abs().mean() < 0.1


@pytest.mark.parametrize("name", ["gemma3", "qwen2"])
def test_an_adapter_is_found_below_any_head(family_named: Callable[[str], Any], name: str) -> None:
    tiny = family_named(name)
    wrapped = attach_adapter(tiny.load(), LoraSettings(rank=2, targets=("q_proj", "down_proj")), seed=0)
    items = tiny.items(wrapped, seed=0)
    policy_logprobs(wrapped, pack(items)).logprobs_T.sum().backward()
    assert all(".lora_" in parameter for parameter in gradients(wrapped.model))
    with torch.no_grad():
        for parameter, value in wrapped.model.named_parameters():
            if "lora_B" in parameter:
                value.normal_(std=0.1)
    before = logprobs(wrapped, items)
    assert (logprobs(merge_adapter(wrapped), items) - before).abs().max() < 1e-5


def test_a_backend_that_cannot_is_refused_when_loading(family_named: Callable[[str], Any]) -> None:
    for name in ("gemma3", "qwen2"):
        with pytest.raises(ConfigError, match='"split" computes neither sliding windows'):
            family_named(name).load(attention="split")
    assert family_named("qwen3").load(attention="split").family.windows == ()


def test_backends_agree(family_named: Callable[[str], Any]) -> None:
    tiny = family_named("gemma3")
    loaded = tiny.load()
    items = tiny.items(loaded, seed=0)
    assert (logprobs(replace(loaded, attention="flex"), items) - logprobs(loaded, items)).abs().max() < 1e-5


def test_what_structures_a_prompt_ends_an_answer_or_is_never_sampled(tiny_family: Any) -> None:
    """Every special token of these tokenizers structures a prompt; ids behind the tokenizer's last are no token."""
    family = (loaded := tiny_family.load()).family
    special = {index for index, token in family.tokenizer.added_tokens_decoder.items() if token.special}
    assert special <= set(family.banned_ids) | family.end_ids and len(special) >= 3
    vocabulary = loaded.model.config.get_text_config().vocab_size
    assert set(range(len(family.tokenizer), vocabulary)) <= set(family.banned_ids)
    assert not family.end_ids & set(family.banned_ids) and max(family.banned_ids) < vocabulary


def test_a_worked_answer_ends_as_the_chat_template_ends_a_turn(tiny_family: Any) -> None:
    family = tiny_family.load().family
    content: Any = "Add." if not tiny_family.build.pictures else [{"type": "text", "text": "Add."}]
    said = [{"role": "user", "content": content}]
    whole = family.tokenizer.apply_chat_template(said, chat_template=family.template, tokenize=False)
    closing = whole.split("Add.")[1].rstrip()
    assert family.tokenizer.convert_tokens_to_ids(closing) == family.turn_end
    assert family.turn_end in family.end_ids
