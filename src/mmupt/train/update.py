"""From scored groups to new weights: one or several optimiser steps on the groups of one rollout.

Groups are forwarded packed, in micro-batches of any cut: every token's weight in the loss comes from the counts of the
whole update, so the cut changes gradients by float error only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mmupt.algo.losses import Totals, grpo_loss, token_weights
from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.models.forward import no_grad_logprobs, policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.train.optimizer import apply_gradients
from mmupt.train.reference import Reference
from mmupt.train.settings import GrpoStage
from mmupt.types import PackedBatch, RolloutGroup


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """A group on its way into the loss, with its advantages f32[G]."""

    group: RolloutGroup
    advantages_G: Tensor

    @property
    def item(self) -> PackItem:
        return PackItem(self.group.encoded, [r.token_ids for r in self.group.rollouts])

    @property
    def tokens(self) -> int:
        return sum(len(r.token_ids) for r in self.group.rollouts)

    @property
    def silent(self) -> bool:
        """No advantage differs from zero: without a KL term the group has no gradient at all."""
        return not bool(self.advantages_G.any())


@dataclass(slots=True)
class UpdateStats:
    """Sums over the updates of one step; `means()` is what metrics show."""

    loss: float = 0.0
    grad_norm: float = 0.0
    updates: int = 0
    tokens: int = 0
    clipped: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0
    importance: float = 0.0
    mismatch_max: float = 0.0

    def means(self) -> dict[str, float]:
        """Per-update means of loss and gradient norm; per-token means over the tokens that were forwarded."""
        updates, tokens = max(1, self.updates), max(1, self.tokens)
        return {
            "loss": self.loss / updates,
            "grad_norm": self.grad_norm / updates,
            "clipped": self.clipped / tokens,
            "kl": self.kl / tokens,
            "entropy": self.entropy / tokens,
            "importance": self.importance / tokens if self.tokens else 1.0,
            "mismatch_max": self.mismatch_max,
        }


def accumulate_gradients(
    stage: GrpoStage,
    loaded: LoadedModel,
    scored: Sequence[ScoredGroup],
    old: Sequence[Tensor] | None,
    reference: Reference | None,
    stats: UpdateStats,
) -> float:
    """Add the gradient of one update over `scored` to the model's parameters; returns its loss.

    `old` are the log-probs of each group's tokens when it was sampled; None means that the policy has not moved since,
    so they are those of this very forward. Groups without any signal are not forwarded when there is no KL term, which
    is exact: they count in the totals and add zero.
    """
    totals = Totals(
        tokens=sum(s.tokens for s in scored),
        rollouts=sum(s.group.size for s in scored),
        max_new_tokens=stage.rollout.max_new_tokens,
    )
    active = [i for i, s in enumerate(scored) if reference is not None or not s.silent]
    device, temperature = loaded.device, stage.rollout.temperature
    loss = 0.0
    for batch, chosen in _micro_batches(stage, loaded, [scored[i] for i in active]):
        members = [scored[active[c]] for c in chosen]
        advantages_R = torch.cat([m.advantages_G for m in members])
        sampling_T = torch.tensor([p for m in members for r in m.group.rollouts for p in r.logprobs], device=device)
        reference_T = None
        if reference is not None:
            reference_T = reference.logprobs(batch, temperature=temperature, chunk=stage.logprob_chunk).to(device)
        new = policy_logprobs(loaded, batch, temperature=temperature, chunk=stage.logprob_chunk)
        old_T = new.logprobs_T.detach() if old is None else torch.cat([old[active[c]] for c in chosen]).to(device)
        terms = grpo_loss(
            new.logprobs_T,
            old_T,
            advantages_R[batch.rollout_T].to(device),
            token_weights(stage.algo.aggregation, batch.rollout_T, batch.num_rollouts, totals).to(device),
            stage.algo,
            reference_T=reference_T,
            sampling_T=sampling_T,
        )
        terms.loss.backward()
        loss += float(terms.loss.detach())
        stats.tokens += batch.target_T.shape[0]
        stats.clipped += float(terms.clipped_tokens)
        stats.kl += float(terms.kl_sum)
        stats.importance += float(terms.importance_sum)
        stats.entropy += float(new.entropy_T.sum())
        stats.mismatch_max = max(stats.mismatch_max, float((old_T - sampling_T).abs().max()))
    return loss


def update_policy(
    stage: GrpoStage,
    loaded: LoadedModel,
    optimizer: torch.optim.AdamW,
    scored: Sequence[ScoredGroup],
    reference: Reference | None,
    learning_rates: Sequence[float],
) -> UpdateStats:
    """`stage.updates_per_step` optimiser steps, each on its share of the groups, in the order they were drawn."""
    stats = UpdateStats()
    updates = stage.updates_per_step
    old = _old_logprobs(stage, loaded, scored) if updates > 1 else None
    borders = [len(scored) * u // updates for u in range(updates + 1)]
    for u, (start, end) in enumerate(pairwise(borders)):
        part = scored[start:end]
        loss = accumulate_gradients(stage, loaded, part, None if old is None else old[start:end], reference, stats)
        blame = (s.group.prompt.id for s in part)
        stats.grad_norm += apply_gradients(optimizer, stage.optimizer, learning_rates[u], loss, blame)
        stats.loss += loss
        stats.updates += 1
    return stats


def _old_logprobs(stage: GrpoStage, loaded: LoadedModel, scored: Sequence[ScoredGroup]) -> list[Tensor]:
    """Each group's log-probs f32[its tokens] under the policy that is about to move."""
    old: list[Tensor] = [torch.empty(0)] * len(scored)
    for batch, chosen in _micro_batches(stage, loaded, scored):
        logprobs_T = no_grad_logprobs(loaded, batch, temperature=stage.rollout.temperature, chunk=stage.logprob_chunk)
        pieces = logprobs_T.split([scored[c].tokens for c in chosen])
        for c, piece in zip(chosen, pieces, strict=True):
            old[c] = piece
    return old


def _micro_batches(
    stage: GrpoStage, loaded: LoadedModel, scored: Sequence[ScoredGroup]
) -> Iterator[tuple[PackedBatch, list[int]]]:
    """Packed batches one after another, each with the indices of its groups in the order they were packed."""
    items = [s.item for s in scored]
    for chosen in plan_micro_batches([item.length for item in items], stage.micro_batch_tokens):
        yield pack([items[c] for c in chosen], loaded.family.merge_vision, row_tokens=stage.row_tokens), chosen
