"""One update's gradient: against a naive loop over rollouts, and unchanged by how its groups are cut and ordered."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mmupt.algo.packing import PackItem
from mmupt.errors import TrainingError
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import attach_adapter, merge_adapter
from mmupt.models.settings import LoraSettings
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.train.optimizer import build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage
from mmupt.train.update import ScoredGroup, UpdateStats, accumulate_gradients, update_policy

Items = Callable[[int], list[PackItem]]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_gradient_ignores_order_cut_and_rows(
    tiny: LoadedModel,
    random_items: Items,
    aggregation: str,
    kl_coef: float,
    stage_with: Any,
    scored_groups: Any,
    gradient: Any,
    perturbed: Any,
) -> None:
    algo = {"aggregation": aggregation, "kl_coef": kl_coef}
    scored = scored_groups(random_items(0) + random_items(1))
    reference = StartModel(tiny, perturbed) if kl_coef else None
    whole = gradient(tiny, stage_with(algo=algo), scored, reference)
    for changes in ({"micro_batch_tokens": 16}, {"micro_batch_tokens": 150}, {"logprob_chunk": 3}):
        assert relative(gradient(tiny, stage_with(algo=algo, **changes), scored, reference), whole) < 1e-5
    shuffled = [scored[i] for i in (4, 2, 0, 5, 1, 3)]
    assert relative(gradient(tiny, stage_with(algo=algo), shuffled, reference), whole) < 1e-5


def test_gradient_equals_a_naive_policy_gradient(
    tiny: LoadedModel, plain: Any, random_items: Items, stage_with: Any, scored_groups: Any, gradient: Any
) -> None:
    """On-policy and unclipped, the gradient is that of -sum A log pi / tokens, each rollout forwarded alone."""
    scored = scored_groups(random_items(2))
    ours = gradient(tiny, stage_with(), scored)
    tokens = sum(s.tokens for s in scored)
    for s in scored:
        for rollout, advantage in zip(s.group.rollouts, s.advantages_G, strict=True):
            alone = PackItem(s.group.encoded, [rollout.token_ids])
            (-advantage * plain.logprobs([alone], temperature=0.7).sum() / tokens).backward()
    naive = torch.cat([p.grad.flatten() for p in plain.model.parameters() if p.grad is not None])
    assert relative(ours, naive) < 1e-5


def test_silent_groups_are_skipped_exactly(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any, gradient: Any
) -> None:
    """A group without advantages adds nothing to the gradient, but its tokens count in the mean."""
    scored = scored_groups(random_items(3))
    silent = ScoredGroup(scored[1].group, torch.zeros(scored[1].group.size))
    stats = UpdateStats()
    tiny.model.zero_grad()
    accumulate_gradients(
        stage_with(), Policy(tiny), [scored[0], silent, scored[2]], [None] * 3, None, stats, PhaseClock()
    )
    skipped = torch.cat([p.grad.flatten() for p in tiny.model.parameters() if p.grad is not None])
    assert stats.tokens == scored[0].tokens + scored[2].tokens, "the silent group was not forwarded"

    # KL to the policy itself: no gradient, but every group is forwarded.
    frozen = StartModel(tiny, lambda: copy.deepcopy(tiny.model))
    with_kl = stage_with(algo={"kl_coef": 1e-12, "kl_estimator": "k2"})
    forwarded = gradient(tiny, with_kl, [scored[0], silent, scored[2]], frozen)
    assert relative(skipped, forwarded) < 1e-5


def test_under_kl_silent_groups_are_left_out_only_where_the_switch_says_so(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any, gradient: Any, perturbed: Any
) -> None:
    scored = scored_groups(random_items(3))
    silent = ScoredGroup(scored[1].group, torch.zeros(scored[1].group.size))
    groups = [scored[0], silent, scored[2]]
    reference = StartModel(tiny, perturbed)
    exact = gradient(tiny, stage_with(algo={"kl_coef": 0.5}), groups, reference)
    skipping = stage_with(algo={"kl_coef": 0.5, "skip_silent": True})
    skipped = gradient(tiny, skipping, groups, reference)
    assert relative(skipped, exact) > 1e-3, "the silent group's KL is missing: not the same gradient"

    alone = gradient(tiny, stage_with(algo={"kl_coef": 0.5}), [silent], reference)
    share = silent.tokens / sum(s.tokens for s in groups)
    assert relative(skipped + alone * share, exact) < 1e-5, "and nothing else is: it counts in the totals all the same"


def test_old_log_probs_are_computed_only_for_groups_that_a_later_update_forwards(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any
) -> None:
    scored = scored_groups(random_items(8) + random_items(9))
    scored[4].advantages_G.zero_()
    for updates, needed in ((1, []), (2, [3, 5]), (3, [2, 3, 5])):
        clock = PhaseClock()
        stage = stage_with(updates_per_step=updates, prompts_per_step=6)
        update_policy(stage, Policy(tiny), optimizer_of(tiny, stage), scored, None, [1e-6] * updates, clock)
        phases = clock.take().phases
        counted = phases["old"].tokens if "old" in phases else 0
        assert counted == sum(scored[i].tokens for i in needed)
        assert phases["forward"].tokens == sum(s.tokens for s in scored) - scored[4].tokens


def test_an_update_without_any_signal_is_adamw_with_a_zero_gradient(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any
) -> None:
    scored = scored_groups(random_items(4))
    silent = [ScoredGroup(s.group, torch.zeros(s.group.size)) for s in scored]
    stage = stage_with(optimizer={"lr": 1e-3, "weight_decay": 0.5})
    before = [p.detach().clone() for p in tiny.model.parameters()]
    stats = update_policy(stage, Policy(tiny), optimizer_of(tiny, stage), silent, None, [1e-3], PhaseClock())
    assert stats.tokens == 0 and stats.grad_norm == 0.0
    for old, new in zip(before, tiny.model.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * (1 - 1e-3 * 0.5))


def test_several_updates_use_the_log_probs_from_before_the_first(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any
) -> None:
    """With a large step the second update sees ratios away from one, so tokens clip; with one update none ever does."""
    scored = scored_groups(random_items(5) + random_items(6))
    for updates, clips in ((1, False), (3, True)):
        stage = stage_with(updates_per_step=updates, prompts_per_step=6, optimizer={"lr": 3e-2})
        stats = update_policy(
            stage, Policy(tiny), optimizer_of(tiny, stage), scored, None, [3e-2] * updates, PhaseClock()
        )
        assert stats.updates == updates
        assert (stats.means()["clipped"] > 0) is clips


def test_a_loss_that_is_not_finite_stops_before_any_weight_moves(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any
) -> None:
    scored = scored_groups(random_items(7))
    scored[1].advantages_G[0] = float("nan")
    stage = stage_with()
    before = [p.detach().clone() for p in tiny.model.parameters()]
    with pytest.raises(TrainingError, match=r"loss nan.*p0, p1, p2"):
        update_policy(stage, Policy(tiny), optimizer_of(tiny, stage), scored, None, [1e-3], PhaseClock())
    assert all(torch.equal(old, new) for old, new in zip(before, tiny.model.parameters(), strict=True))


def test_under_lora_the_reference_is_the_model_with_the_adapter_off(
    tiny: LoadedModel, random_items: Items, stage_with: Any, scored_groups: Any, gradient: Any
) -> None:
    scored = scored_groups(random_items(8))
    second = copy.deepcopy(tiny.model)
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    stage = stage_with(algo={"kl_coef": 0.5}, optimizer={"lr": 1e-2})
    update_policy(stage, Policy(adapted), optimizer_of(adapted, stage), scored, None, [1e-2], PhaseClock())
    trained = {n for n, p in adapted.model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in n for n in trained)

    switched_off = gradient(adapted, stage, scored, StartModel(adapted, _never_read))
    second_copy = gradient(adapted, stage, scored, StartModel(tiny, lambda: second))
    assert relative(switched_off, second_copy) < 1e-5

    merged = merge_adapter(adapted)
    assert not any("lora_" in n for n, _ in merged.model.named_parameters())


def optimizer_of(loaded: LoadedModel, stage: GrpoStage) -> torch.optim.AdamW:
    return build_optimizer(Policy(loaded).trained.values(), stage.optimizer)


def _never_read() -> torch.nn.Module:
    raise AssertionError("under LoRA there is no second copy to read")
