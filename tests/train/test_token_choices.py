"""What tokens the loss is made of: the answer mask, and a KL term on the tokens of highest covariance."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmupt.algo.packing import PackItem
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.train import update
from mmupt.train.optimizer import build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.update import ScoredGroup, UpdateStats, accumulate_gradients, choose_kl_tokens, update_policy

Items = Callable[[int], list[PackItem]]

COVARIANCE = {"kl_coef": 0.5, "kl_tokens": "covariance", "kl_fraction": 0.2}


@pytest.fixture
def masked_groups(scored_groups: Any) -> Callable[..., list[ScoredGroup]]:
    """Groups of which every third token or so is masked."""

    def _groups(items: list[PackItem], seed: int = 0) -> list[ScoredGroup]:
        rng = torch.Generator().manual_seed(seed + 100)
        return [replace(s, masked_T=torch.rand(s.tokens, generator=rng) < 0.3) for s in scored_groups(items, seed)]

    return _groups


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def slow_kl_choice(scored: list[ScoredGroup], fraction: float) -> set[tuple[str, int]]:
    """(prompt, token) of those chosen, token by token in plain floats."""
    tokens = []
    for s in scored:
        rows = zip(s.group.rollouts, s.advantages_G.tolist(), strict=True)
        flat = [(p, a) for rollout, a in rows for p in rollout.logprobs]
        tokens += [((s.group.prompt.id, i), p, a) for i, (p, a) in enumerate(flat) if s.learns_T[i]]
    mean_p, mean_a = sum(p for _, p, _ in tokens) / len(tokens), sum(a for _, _, a in tokens) / len(tokens)
    tokens.sort(key=lambda token: -(token[1] - mean_p) * (token[2] - mean_a))
    return {name for name, _, _ in tokens[: max(1, int(fraction * len(tokens)))]}


def slow_gradient(plain: Any, reference: Any, scored: list[ScoredGroup], algo: dict[str, Any]) -> Tensor:
    """Each rollout forwarded alone; a token's loss is there or not; the sum divided by the count of all tokens."""
    chosen = slow_kl_choice(scored, algo["kl_fraction"]) if algo["kl_tokens"] == "covariance" else None
    tokens = sum(s.tokens for s in scored)
    for s in scored:
        place = 0
        for rollout, advantage in zip(s.group.rollouts, s.advantages_G.tolist(), strict=True):
            alone = PackItem(s.group.encoded, [rollout.token_ids])
            new = plain.logprobs([alone], temperature=0.7)
            with torch.no_grad():
                theirs = replace(plain, model=reference).logprobs([alone], temperature=0.7)
            loss = torch.zeros(())
            for t in range(len(rollout.token_ids)):
                if s.learns_T[place]:
                    loss = loss - advantage * new[t]
                    if chosen is None or (s.group.prompt.id, place) in chosen:
                        d = theirs[t] - new[t]
                        loss = loss + algo["kl_coef"] * (torch.exp(d) - d - 1)
                place += 1
            if loss.requires_grad:
                (loss / tokens).backward()
    return torch.cat([p.grad.flatten() for p in plain.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kl_tokens", ["all", "covariance"])
def test_gradient_equals_a_naive_one(
    tiny: LoadedModel,
    plain: Any,
    random_items: Items,
    kl_tokens: str,
    masked: bool,
    stage_with: Any,
    scored_groups: Any,
    gradient: Any,
    perturbed: Any,
    masked_groups: Any,
) -> None:
    algo = {**COVARIANCE, "kl_tokens": kl_tokens}
    stage = stage_with(algo=algo)
    scored = (masked_groups if masked else scored_groups)(random_items(2))
    frozen = perturbed()
    theirs = copy.deepcopy(plain.model)
    theirs.load_state_dict(frozen.state_dict())
    ours = gradient(tiny, stage, choose_kl_tokens(stage, scored), StartModel(tiny, lambda: frozen))
    assert relative(ours, slow_gradient(plain, theirs, scored, algo)) < 1e-5


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_gradient_ignores_order_cut_and_rows(
    tiny: LoadedModel,
    random_items: Items,
    aggregation: str,
    stage_with: Any,
    gradient: Any,
    perturbed: Any,
    masked_groups: Any,
) -> None:
    algo = {**COVARIANCE, "aggregation": aggregation}
    scored = [
        replace(s, group=replace(s.group, prompt=replace(s.group.prompt, id=f"q{i}")))
        for i, s in enumerate(masked_groups(random_items(0) + random_items(1)))
    ]
    reference = StartModel(tiny, perturbed)
    whole = gradient(tiny, stage_with(algo=algo), choose_kl_tokens(stage_with(algo=algo), scored), reference)
    for changes in ({"micro_batch_tokens": 16}, {"micro_batch_tokens": 150}, {"logprob_chunk": 3}):
        stage = stage_with(algo=algo, **changes)
        assert relative(gradient(tiny, stage, choose_kl_tokens(stage, scored), reference), whole) < 1e-5
    stage, shuffled = stage_with(algo=algo), [scored[i] for i in (4, 2, 0, 5, 1, 3)]
    assert relative(gradient(tiny, stage, choose_kl_tokens(stage, shuffled), reference), whole) < 1e-5


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_a_mask_leaves_the_gradient_of_other_tokens_alone(
    tiny: LoadedModel,
    random_items: Items,
    aggregation: str,
    stage_with: Any,
    gradient: Any,
    perturbed: Any,
    masked_groups: Any,
) -> None:
    """Two masks that share the tokens among them: their gradients add up to that without a mask."""
    stage = stage_with(algo={"kl_coef": 0.5, "aggregation": aggregation})
    reference = StartModel(tiny, perturbed)
    ones = masked_groups(random_items(3))
    others = [replace(s, masked_T=s.learns_T) for s in ones]
    whole = gradient(tiny, stage, [replace(s, masked_T=None) for s in ones], reference)
    shares = [gradient(tiny, stage, part, reference) for part in (ones, others)]
    assert relative(shares[0] + shares[1], whole) < 1e-5
    assert min(relative(share, whole) for share in shares) > 0.05, "and neither of them is nothing"


def test_each_update_chooses_among_its_own_tokens(random_items: Items, stage_with: Any, masked_groups: Any) -> None:
    scored = masked_groups(random_items(8) + random_items(9))
    scored = [
        replace(s, group=replace(s.group, prompt=replace(s.group.prompt, id=f"q{i}"))) for i, s in enumerate(scored)
    ]
    stage = stage_with(algo=COVARIANCE, updates_per_step=2, prompts_per_step=6)
    chosen = choose_kl_tokens(stage, scored)
    found = {(s.group.prompt.id, i) for s in chosen for i in s.kl_T.nonzero()[:, 0].tolist()}  # type: ignore[union-attr]
    assert found == slow_kl_choice(scored[:3], 0.2) | slow_kl_choice(scored[3:], 0.2)
    assert choose_kl_tokens(stage_with(algo=COVARIANCE, updates_per_step=3), scored[:1])[0].has_kl, "empty shares"


def test_silent_groups_without_a_chosen_token_are_left_out_exactly(
    tiny: LoadedModel,
    random_items: Items,
    monkeypatch: pytest.MonkeyPatch,
    stage_with: Any,
    scored_groups: Any,
    gradient: Any,
    perturbed: Any,
) -> None:
    scored = scored_groups(random_items(4))
    scored[1].advantages_G.zero_()
    stage = stage_with(algo={**COVARIANCE, "kl_fraction": 0.05})
    groups, stats = choose_kl_tokens(stage, scored), UpdateStats()
    reference = StartModel(tiny, perturbed)
    assert not groups[1].has_kl, "nothing stands out in a group that earned nothing in particular"
    tiny.model.zero_grad()
    accumulate_gradients(stage, Policy(tiny), groups, [None] * 3, reference, stats, PhaseClock())
    assert stats.tokens == scored[0].tokens + scored[2].tokens
    short = torch.cat([p.grad.flatten() for p in tiny.model.parameters() if p.grad is not None])
    monkeypatch.setattr(update, "forwarded", lambda stage, scored, reference: list(range(len(scored))))
    assert relative(short, gradient(tiny, stage, groups, reference)) < 1e-5


def test_silent_groups_with_a_chosen_token_are_forwarded(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any, perturbed: Any
) -> None:
    """Where all others are paid for the unlikely, a silent group's likely or unlikely tokens vary with it the most."""
    scored = scored_groups(random_items(4))
    scored[1].advantages_G.zero_()
    stage = stage_with(algo={**COVARIANCE, "kl_fraction": 1.0})
    for settings, expected in (
        (stage, [0, 1, 2]),
        (stage_with(algo={**COVARIANCE, "kl_fraction": 1.0, "skip_silent": True}), [0, 2]),
    ):
        reference = StartModel(tiny, perturbed)
        optimizer = build_optimizer(tiny.model.parameters(), settings.optimizer)
        stats = update_policy(settings, Policy(tiny), optimizer, scored, reference, [1e-6], PhaseClock())
        assert stats.forwarded == expected
