"""The HF engine: what it reports is what the trainer computes, and seeds alone decide what is sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.generation import Generation
from mmupt.engines.hf import HFEngine
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import EncodedPrompt, Rollout

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=24)


@pytest.fixture
def requests(encode: Callable[..., EncodedPrompt]) -> list[Request]:
    rng = np.random.default_rng(0)
    prompts = [
        encode(rng, "Add all dice.", [(56, 56)]),
        encode(rng, "How many red dice are here, and how many blue?", [(84, 112), (56, 56)]),
        encode(rng, "Largest die?", []),
    ]
    return [Request(p, tuple(range(10 * i, 10 * i + 4 + i))) for i, p in enumerate(prompts)]


def merged(encoded: EncodedPrompt) -> dict[str, torch.Tensor]:
    """The pictures of a prompt as transformers' own forward takes them."""
    names = encoded.pictures[0].tensors if encoded.pictures else ()
    return {name: torch.cat([picture.tensors[name] for picture in encoded.pictures]) for name in names}


def tokens(groups: Sequence[tuple[Rollout, ...]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]


@pytest.fixture
def ragged(tiny: LoadedModel) -> LoadedModel:
    """Ends early and at random: every eighth id is an end token."""
    tiny.family.end_ids = frozenset(range(3, len(tiny.family.tokenizer), 8))
    return tiny


def test_sampling_logprobs_are_the_trainers(tiny: LoadedModel, requests: list[Request]) -> None:
    groups = HFEngine(tiny).generate(requests, SAMPLING)
    items = [PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(requests, groups, strict=True)]
    ours = policy_logprobs(tiny, pack(items), temperature=SAMPLING.temperature).logprobs_T
    reported = torch.tensor([p for g in groups for x in g for p in x.logprobs])
    assert (ours - reported).abs().max() < 1e-5


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_sampling_logprobs_are_those_of_transformers(
    tiny: LoadedModel, requests: list[Request], temperature: float
) -> None:
    """Every rollout alone through the plain forward of the model, without mmupt's packing or engine."""
    sampling = replace(SAMPLING, temperature=temperature, max_new_tokens=12)
    for request, group in zip(requests, HFEngine(tiny).generate(requests, sampling), strict=True):
        for rollout in group:
            ids = torch.cat([request.encoded.token_ids, torch.tensor(rollout.token_ids)])[None]
            types = (ids == tiny.family.image_id).int()  # type: ignore[attr-defined]
            with torch.no_grad():
                logits = tiny.model(input_ids=ids, mm_token_type_ids=types, **merged(request.encoded)).logits[0]
            expected = (logits[request.encoded.length - 1 : -1] / temperature).log_softmax(-1)
            expected = expected.gather(-1, torch.tensor(rollout.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(rollout.logprobs), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("prompts_at_once", [1, 2, 100])
def test_batching_changes_nothing_that_is_sampled(
    ragged: LoadedModel, requests: list[Request], prompts_at_once: int
) -> None:
    """Groups of 4, 5 and 6 rollouts, each twice; with few slots, rollouts join as others end."""
    twice = [*requests, *(replace(r, seeds=tuple(s + 100 for s in r.seeds)) for r in requests)]
    alone = [HFEngine(ragged).generate([request], SAMPLING)[0] for request in twice]
    lengths = {len(rollout.token_ids) for group in alone for rollout in group}
    assert len(lengths) > 5, "the test needs ragged lengths to mean anything"
    engine = HFEngine(ragged, prompts_at_once)
    for order in (1, -1):
        together = engine.generate(twice[::order], SAMPLING)[::order]
        assert tokens(together) == tokens(alone)
        for one, other in zip(together, alone, strict=True):
            for a, b in zip(one, other, strict=True):
                assert (a.text, a.stop) == (b.text, b.stop)
                np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_a_long_rollout_holds_nobody_up(
    ragged: LoadedModel, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With slots for 6 rollouts, 60 of them are done in little more than the least number of steps."""
    many = [Request(requests[i % 3].encoded, tuple(range(6 * i, 6 * i + 6))) for i in range(10)]
    rows: list[int] = []
    whole = Generation._decode
    monkeypatch.setattr(Generation, "_decode", lambda self: rows.append(len(self._rows)) or whole(self))
    groups = HFEngine(ragged, 1).generate(many, replace(SAMPLING, max_new_tokens=60))
    lengths = [len(rollout.token_ids) for group in groups for rollout in group]
    assert sum(rows) == sum(length - 1 for length in lengths), "no row was computed that nobody needs"
    assert max(rows) <= 6
    one_by_one = sum(max(len(rollout.token_ids) for rollout in group) for group in groups)
    assert len(rows) < sum(lengths) / 6 + max(lengths) < one_by_one


def test_a_prompt_is_kept_once_a_group(
    tiny: LoadedModel, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers x (keys, values) x heads x size x (groups x longest prompt), whatever the number of rollouts."""
    seen: list[int] = []
    whole = Generation._decode
    monkeypatch.setattr(Generation, "_decode", lambda self: seen.append(self.prefix.elements) or whole(self))
    HFEngine(tiny).generate([replace(r, seeds=tuple(range(30))) for r in requests], SAMPLING)
    text = tiny.model.config.text_config  # type: ignore[union-attr]
    size = text.hidden_size // text.num_attention_heads
    longest = max(request.encoded.length for request in requests)
    assert set(seen) == {text.num_hidden_layers * 2 * text.num_key_value_heads * size * len(requests) * longest}


def test_a_repeated_picture_is_processed_once(
    tiny: LoadedModel, encode: Callable[..., EncodedPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [encode(np.random.default_rng(7), text, [(56, 56)]) for text in ("Add all dice.", "Largest die?")]
    processed: list[int] = []
    whole = type(tiny.family).features

    def counted(self: object, model: object, pictures: Sequence[object]) -> list[torch.Tensor]:
        processed.append(len(pictures))
        return whole(self, model, pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(type(tiny.family), "features", counted)
    HFEngine(tiny).generate([Request(prompt, tuple(range(4))) for prompt in prompts], SAMPLING)
    assert processed == [1]


def test_bf16_decodes_on_a_cpu(tiny: LoadedModel, requests: list[Request]) -> None:
    half = replace(tiny, dtype=torch.bfloat16)
    groups = HFEngine(half).generate(requests, SAMPLING)
    items = [PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(requests, groups, strict=True)]
    expected = policy_logprobs(tiny, pack(items), temperature=SAMPLING.temperature).logprobs_T
    reported = torch.tensor([p for g in groups for x in g for p in x.logprobs])
    assert (expected - reported).abs().mean() < 0.02


def test_time_and_tokens_are_counted(tiny: LoadedModel, requests: list[Request]) -> None:
    engine = HFEngine(tiny)
    engine.clock.start()
    groups = engine.generate(requests, SAMPLING)
    phases = engine.clock.take().phases
    assert phases["prefill"].tokens == sum(request.encoded.length for request in requests)
    assert phases["decode"].tokens == sum(len(rollout.token_ids) for group in groups for rollout in group)


def test_nothing_asked_nothing_generated(tiny: LoadedModel, requests: list[Request]) -> None:
    assert HFEngine(tiny).generate([], SAMPLING) == []
    empty = replace(requests[0], seeds=())
    first, second = HFEngine(tiny).generate([empty, requests[1]], SAMPLING)
    assert first == () and len(second) == 5


def test_seeds_belong_to_rollouts(tiny: LoadedModel, requests: list[Request]) -> None:
    first = HFEngine(tiny).generate(requests, SAMPLING)
    swapped = [replace(r, seeds=r.seeds[::-1]) for r in requests]
    second = HFEngine(tiny).generate(swapped, SAMPLING)
    assert [[x.token_ids for x in g] for g in first] == [[x.token_ids for x in g[::-1]] for g in second]
    assert len({x.token_ids for x in first[0]}) > 1


def test_rows_end_at_the_end_token_and_report_why(tiny: LoadedModel, requests: list[Request]) -> None:
    long = replace(SAMPLING, temperature=3.0, top_p=1.0, max_new_tokens=200)
    rollouts = [x for g in HFEngine(tiny).generate(requests, long) for x in g]
    stops = {x.stop for x in rollouts}
    assert stops == {"end", "length"}, "the test needs both kinds to mean anything"
    for rollout in rollouts:
        ends = [i for i, token in enumerate(rollout.token_ids) if token in tiny.family.end_ids]
        assert ends == ([len(rollout.token_ids) - 1] if rollout.stop == "end" else [])
        assert len(rollout.logprobs) == len(rollout.token_ids) <= 200
        assert "<|im_end|>" not in rollout.text


def test_picture_placeholders_are_never_sampled(tiny: LoadedModel, requests: list[Request]) -> None:
    head = tiny.family.head(tiny.model)
    bias = torch.zeros(head.weight.shape[0])  # type: ignore[arg-type]
    bias[tiny.family.image_id] = 100.0  # type: ignore[attr-defined]
    head.register_forward_hook(lambda _module, _inputs, logits: logits + bias)
    rollouts = [x for g in HFEngine(tiny).generate(requests, SAMPLING) for x in g]
    assert not {t for x in rollouts for t in x.token_ids} & set(tiny.family.banned_ids)


def test_greedy_is_transformers_greedy(tiny: LoadedModel, requests: list[Request]) -> None:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=12)
    for request in requests:
        ids = request.encoded.token_ids[None]
        types = (ids == tiny.family.image_id).int()  # type: ignore[attr-defined]
        expected = tiny.model.generate(  # type: ignore[operator]
            input_ids=ids,
            mm_token_type_ids=types,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=12,
            suppress_tokens=list(tiny.family.banned_ids),
            eos_token_id=sorted(tiny.family.end_ids),
            **merged(request.encoded),
        )[0, ids.shape[1] :].tolist()
        (rollout,) = HFEngine(tiny).generate([replace(request, seeds=(0,))], greedy)[0]
        assert list(rollout.token_ids) == expected


def test_weights_are_the_trainers_newest(tiny: LoadedModel, requests: list[Request]) -> None:
    engine = HFEngine(tiny)
    before = engine.generate(requests, SAMPLING)
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.mul_(1.5)
    assert engine.generate(requests, SAMPLING) != before
