"""The vLLM engine is the HF engine by other means: same contract, same log-probs, same draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.engines.source import Source
from mmupt.engines.vllm.engine import VLLMEngine
from mmupt.engines.vllm.host import VLLMHost
from mmupt.models.loading import LoadedModel
from mmupt.types import Rollout

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=24)
CLOSE = 1e-4


def tokens(groups: Sequence[Sequence[Rollout]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]


@pytest.mark.parametrize(
    "sampling",
    [SAMPLING, replace(SAMPLING, temperature=1.0, top_p=1.0), replace(SAMPLING, temperature=0.0, top_p=1.0)],
    ids=["hot", "plain", "greedy"],
)
def test_logprobs_are_the_trainers(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Callable[..., float], sampling: Sampling
) -> None:
    groups = VLLMEngine(tiny, host).generate(requests, sampling)
    assert [len(group) for group in groups] == [3, 4, 5]
    assert mismatch(tiny, requests, groups, sampling) < CLOSE
    if sampling.temperature == 0.7:  # at temperature 1 they would be others by far
        assert mismatch(tiny, requests, groups, replace(sampling, temperature=1.0)) > 100 * CLOSE


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(0.0, 1.0, 24)], ids=["sampled", "greedy"])
def test_seeds_draw_what_they_draw_in_the_hf_engine(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], sampling: Sampling
) -> None:
    ours = HFEngine(tiny).generate(requests, sampling)
    theirs = VLLMEngine(tiny, host).generate(requests, sampling)
    assert tokens(theirs) == tokens(ours)
    for one, other in zip(theirs, ours, strict=True):
        assert [(x.text, x.stop) for x in one] == [(x.text, x.stop) for x in other]


def test_a_seed_depends_on_no_neighbour(tiny: LoadedModel, host: VLLMHost, requests: list[Request]) -> None:
    """More rollouts than run at a time, in another order, and each alone."""
    engine = VLLMEngine(tiny, host)
    many = [replace(r, seeds=tuple(range(100 * i, 100 * i + 20))) for i, r in enumerate(requests)]
    together = tokens(engine.generate(many, SAMPLING))
    assert tokens(engine.generate(many[::-1], SAMPLING))[::-1] == together
    for request, group in zip(many, together, strict=True):
        assert tokens(engine.generate([replace(request, seeds=request.seeds[7:8])], SAMPLING)) == [[group[7]]]
    assert len(set(together[0])) > 1


def test_rollouts_end_at_an_end_token_and_say_why(tiny: LoadedModel, host: VLLMHost, requests: list[Request]) -> None:
    tiny.family.end_ids = frozenset(range(3, len(tiny.family.tokenizer), 8))
    long = replace(SAMPLING, temperature=2.0, top_p=1.0)
    rollouts = [x for group in VLLMEngine(tiny, host).generate(requests, long) for x in group]
    assert {x.stop for x in rollouts} == {"end", "length"}, "the test needs both kinds to mean anything"
    for rollout in rollouts:
        ends = [i for i, token in enumerate(rollout.token_ids) if token in tiny.family.end_ids]
        assert ends == ([len(rollout.token_ids) - 1] if rollout.stop == "end" else [])
        assert len(rollout.logprobs) == len(rollout.token_ids) <= long.max_new_tokens


def test_banned_ids_are_never_drawn_and_count_in_the_normalisation(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Callable[..., float]
) -> None:
    """The head (tied to the embeddings) leans towards the picture placeholder, which text does not contain."""
    greedy = Sampling(0.0, 1.0, 24)
    text = requests[2:]
    weight = tiny.family.head(tiny.model).weight
    with torch.no_grad():
        weight[tiny.family.image_id] *= 40  # type: ignore[attr-defined]
    engine = VLLMEngine(tiny, host)
    tiny.family.banned_ids = ()
    free = HFEngine(tiny).generate(text, replace(greedy, temperature=1.0))
    assert tiny.family.image_id in {t for x in free[0] for t in x.token_ids}, "the bias works"  # type: ignore[attr-defined]
    for sampling in (greedy, SAMPLING):
        groups = engine.generate(text, sampling)
        assert tiny.family.image_id not in {t for x in groups[0] for t in x.token_ids}  # type: ignore[attr-defined]
        assert mismatch(tiny, text, groups, sampling) < CLOSE


def test_nothing_asked_nothing_generated(tiny: LoadedModel, host: VLLMHost, requests: list[Request]) -> None:
    engine = VLLMEngine(tiny, host)
    assert engine.generate([], SAMPLING) == []
    first, second = engine.generate([replace(requests[0], seeds=()), requests[1]], SAMPLING)
    assert first == () and len(second) == 4


def test_time_and_tokens_are_counted(tiny: LoadedModel, host: VLLMHost, requests: list[Request]) -> None:
    engine = VLLMEngine(tiny, host)
    engine.clock.start()
    groups = engine.generate(requests, SAMPLING)
    phases = engine.clock.take().phases
    assert phases["decode"].tokens == sum(len(rollout.token_ids) for group in groups for rollout in group)
    assert phases["sync"].calls == 2, "handed over, and checked"
    assert not host.hold(engine, Source.of(tiny)), "nothing is handed over a second time"
