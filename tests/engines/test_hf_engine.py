"""The HF engine: what it reports is what the trainer computes, and seeds alone decide what is sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.engines.sampling import draw, uniform_streams
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import EncodedPrompt

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


def test_sampling_logprobs_are_the_trainers(tiny: LoadedModel, requests: list[Request]) -> None:
    groups = HFEngine(tiny).generate(requests, SAMPLING)
    items = [PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(requests, groups, strict=True)]
    batch = pack(items, tiny.family.merge_vision)
    ours = policy_logprobs(tiny, batch, temperature=SAMPLING.temperature).logprobs_T
    reported = torch.tensor([p for g in groups for x in g for p in x.logprobs])
    assert (ours - reported).abs().max() < 1e-5


def test_batching_changes_nothing_that_is_sampled(tiny: LoadedModel, requests: list[Request]) -> None:
    together = HFEngine(tiny, prompts_at_once=16).generate(requests, SAMPLING)
    alone = HFEngine(tiny, prompts_at_once=1).generate(requests, SAMPLING)
    reverse = HFEngine(tiny).generate(requests[::-1], SAMPLING)[::-1]
    for other in (alone, reverse):
        assert [[x.token_ids for x in g] for g in together] == [[x.token_ids for x in g] for g in other]


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
            **request.encoded.vision,
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


def test_draws_follow_the_distribution() -> None:
    """Frequencies against probabilities, with a banned id and top-p, over 20,000 draws."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 3.0])
    banned = torch.tensor([False, False, False, False, True])
    uniform = uniform_streams(range(20_000), 1)[:, 0]
    sampling = Sampling(temperature=0.5, top_p=0.99, max_new_tokens=1)
    token, logprob = draw(logits.expand(20_000, -1), uniform, banned, sampling)
    p = (logits / 0.5).softmax(-1)
    kept = torch.tensor([p[0], p[1], p[2], 0.0, 0.0])  # 0, 1, 2 carry 0.997 of the allowed mass; 0, 1 only 0.980
    frequency = torch.bincount(token, minlength=5) / 20_000
    assert (frequency - kept / kept.sum()).abs().max() < 0.01
    torch.testing.assert_close(logprob, p.log()[token])


def test_a_uniform_next_to_one_still_draws_a_token_with_mass() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])
    token, _ = draw(logits, torch.tensor([np.nextafter(1.0, 0.0)]), torch.zeros(4, dtype=torch.bool), SAMPLING)
    assert int(token) == 1
