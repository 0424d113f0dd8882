"""The watch set with a real, tiny model: who is held out, what is asked, and the rank of its hidden states."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmupt.algo.packing import PackItem
from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import PromptSettings
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.guard.rank import effective_rank, response_states
from mmupt.guard.settings import GuardSettings
from mmupt.guard.watch import Measurement, Watch, hold_out
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.runtime.phases import PhaseClock
from mmupt.types import ImageSource, Prompt, Rollout, RolloutGroup


def prompts_of(count: int) -> list[Prompt]:
    return [Prompt(f"p{i}", "?") for i in range(count)]


def test_hold_out_takes_by_id_and_keeps_the_order_of_the_rest() -> None:
    prompts = prompts_of(1000)
    watched, rest = hold_out(prompts, 64, at_least=10, seed=0)
    assert len(watched) == 64
    ids = {prompt.id for prompt in watched}
    assert rest == [prompt for prompt in prompts if prompt.id not in ids]
    turned, _ = hold_out(prompts[::-1], 64, at_least=10, seed=0)
    assert turned == watched
    other, _ = hold_out(prompts, 64, at_least=10, seed=1)
    assert {prompt.id for prompt in other} != ids


@pytest.mark.parametrize(
    ("pool", "n", "at_least", "watched"),
    [(1000, 0, 1, 0), (200, 64, 1, 20), (79, 64, 1, 0), (80, 64, 1, 8), (200, 64, 190, 10), (200, 64, 195, 0)],
)
def test_hold_out_leaves_enough(pool: int, n: int, at_least: int, watched: int) -> None:
    held, rest = hold_out(prompts_of(pool), n, at_least=at_least, seed=0)
    assert (len(held), len(rest)) == (watched, pool - watched)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank(rank: int) -> None:
    """States in as many equally strong orthogonal directions have just that rank; mean and scale do not matter."""
    axes = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64, generator=torch.manual_seed(0)))[0][:rank]
    states = torch.cat([axes, -axes])
    assert effective_rank(states) == pytest.approx(rank)
    assert effective_rank(7 * states + 100) == pytest.approx(rank)


def test_effective_rank_is_the_formula_and_nothing_where_nothing_varies() -> None:
    states = torch.randn(20, 6, generator=torch.manual_seed(1))
    centred = states.double().numpy() - states.double().numpy().mean(axis=0)
    values = np.sqrt(np.linalg.eigvalsh(centred.T @ centred).clip(0))
    p = values / values.sum()
    assert effective_rank(states) == pytest.approx(float(np.exp(-(p * np.log(p)).sum())), rel=1e-5)
    assert effective_rank(torch.ones(5, 6)) == 0.0


def test_states_are_those_of_each_response_alone(
    tiny: LoadedModel, random_items: Callable[[int], list[PackItem]]
) -> None:
    groups = [
        RolloutGroup(
            Prompt(f"p{i}", "?"), item.encoded, tuple(Rollout(tuple(c), (), "", "end") for c in item.completions)
        )
        for i, item in enumerate(random_items(0))
    ]
    alone = []
    for group in groups:
        for rollout in group.rollouts:
            one = replace(group, rollouts=(rollout,))
            alone.append(response_states(tiny, [one], 1)[0])
    for budget in (1, 100, 10_000):
        torch.testing.assert_close(response_states(tiny, groups, budget), torch.stack(alone), atol=1e-5, rtol=1e-4)
    lengthened = replace(
        groups[0], rollouts=(replace(groups[0].rollouts[0], token_ids=groups[0].rollouts[0].token_ids * 2),)
    )
    assert not torch.allclose(response_states(tiny, [lengthened], 1)[0], alone[0], atol=1e-4)


def picture() -> ImageSource:
    out = io.BytesIO()
    Image.new("RGB", (56, 56), "red").save(out, "PNG")
    return ImageSource(data=out.getvalue())


@pytest.fixture
def watch(tiny: LoadedModel) -> Watch:
    """Ten prompts, of which one is too long and one has no picture."""
    encoder = PromptEncoder(tiny.family, PromptSettings(suffix="", min_pixels=3136, max_pixels=3136, max_tokens=64))
    tools = Tools(
        loaded=tiny,
        encoder=encoder,
        engine=HFEngine(tiny, 4),
        engine_of=lambda loaded: HFEngine(loaded, 4),
        start=StartModel(tiny, lambda: tiny.model),
        rollout=RolloutSettings(group_size=2, temperature=1.0, top_p=1.0, max_new_tokens=6, prompts_at_once=4),
        micro_batch_tokens=200,
        logprob_chunk=64,
        clock=PhaseClock(),
    )
    prompts = [Prompt(f"p{i}", "<image>Add all dice.", (picture(),)) for i in range(8)]
    prompts.insert(3, Prompt("long", "Add all dice. " * 100))
    prompts.append(Prompt("bad", "<image>Largest die?", (ImageSource(path="/nowhere.png"),)))
    return Watch(prompts, tools, GuardSettings(watch_samples=3), AnswerSettings(), RewardSettings(), 0)


def test_the_same_model_measures_the_same(watch: Watch) -> None:
    labels = watch.labels()
    assert labels.keys() == {f"p{i}" for i in range(8)}
    first, again = watch.measure(0, labels), watch.measure(0, labels)
    assert first == again
    assert first.skipped == 2
    assert first.rank is not None and first.rank > 1
    assert Measurement.from_json(first.as_json()) == first
    for prompt in first.prompts.values():
        assert sum(prompt.answers.values()) == pytest.approx(1)


def test_the_start_is_asked_for_its_answers_with_other_seeds_than_it_is_measured_with(watch: Watch) -> None:
    assert not set(watch._seeds("watch", watch.prompts[0])) & set(watch._seeds("watch labels", watch.prompts[0]))
    turned = replace(watch, prompts=watch.prompts[::-1])
    labels = watch.labels()
    assert turned.labels() == labels
    assert turned.measure(0, labels).prompts == watch.measure(0, labels).prompts
