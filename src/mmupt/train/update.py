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

from mmupt.algo.losses import LossTerms, Totals, grpo_loss, token_weights
from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.models.forward import no_grad_logprobs, policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
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
        """No advantage differs from zero: but for a KL term the group has no gradient at all."""
        return not bool(self.advantages_G.any())


@dataclass(slots=True)
class UpdateStats:
    """Sums over the updates of one step; `means()` is what metrics show. What comes from the device stays there until
    then, so that no micro-batch waits for a number."""

    loss: float = 0.0
    grad_norm: float = 0.0
    updates: int = 0
    tokens: int = 0
    _sums: Tensor | None = None  # f32[4]: clipped tokens, KL, entropy, importance
    _mismatch: Tensor | None = None

    def add(self, terms: LossTerms, entropy_T: Tensor, mismatch_T: Tensor) -> None:
        """One micro-batch: its T tokens' entropies, and how far the engine's log-probs are from the trainer's."""
        sums = torch.stack([terms.clipped_tokens.float(), terms.kl_sum, entropy_T.sum(), terms.importance_sum])
        worst = mismatch_T.abs().max()
        self.tokens += entropy_T.shape[0]
        self._sums = sums if self._sums is None else self._sums + sums
        self._mismatch = worst if self._mismatch is None else torch.maximum(self._mismatch, worst)

    def means(self) -> dict[str, float]:
        """Per-update means of loss and gradient norm; per-token means over the tokens that were forwarded."""
        clipped, kl, entropy, importance = [0.0] * 4 if self._sums is None else self._sums.tolist()
        updates, tokens = max(1, self.updates), max(1, self.tokens)
        return {
            "loss": self.loss / updates,
            "grad_norm": self.grad_norm / updates,
            "clipped": clipped / tokens,
            "kl": kl / tokens,
            "entropy": entropy / tokens,
            "importance": importance / tokens if self.tokens else 1.0,
            "mismatch_max": 0.0 if self._mismatch is None else float(self._mismatch),
        }


def forwarded(stage: GrpoStage, scored: Sequence[ScoredGroup], reference: Reference | None) -> list[int]:
    """Indices of the groups that an update forwards. A group without any signal adds exactly zero where there is no KL
    term; under one it is left out only if `algo.skip_silent` says so."""
    every = reference is not None and not stage.algo.skip_silent
    return [i for i, s in enumerate(scored) if every or not s.silent]


def accumulate_gradients(
    stage: GrpoStage,
    loaded: LoadedModel,
    scored: Sequence[ScoredGroup],
    old: Sequence[Tensor | None],
    reference: Reference | None,
    stats: UpdateStats,
    clock: PhaseClock,
) -> float:
    """Add the gradient of one update over `scored` to the model's parameters; returns its loss.

    `old` are the log-probs of each group's tokens when it was sampled; None means that the policy has not moved since,
    so they are those of this very forward. Groups that are not forwarded count in the totals like all others.
    """
    totals = Totals(
        tokens=sum(s.tokens for s in scored),
        rollouts=sum(s.group.size for s in scored),
        max_new_tokens=stage.rollout.max_new_tokens,
    )
    chunk, temperature, device = stage.logprob_chunk, stage.rollout.temperature, loaded.device
    loss = torch.zeros((), device=device)
    for batch, members in _micro_batches(stage, scored, forwarded(stage, scored, reference), clock):
        num_tokens = batch.target_T.shape[0]
        reference_T = None
        if reference is not None:
            with clock("reference", num_tokens):
                reference_T = reference.logprobs(batch, temperature=temperature, chunk=chunk)
        with clock("forward", num_tokens):
            new = policy_logprobs(loaded, batch, temperature=temperature, chunk=chunk, entropy=True)
            assert new.entropy_T is not None
            known = [old_t for i in members if (old_t := old[i]) is not None]
            old_T = torch.cat(known) if known else new.logprobs_T.detach()
            sampling = [p for i in members for r in scored[i].group.rollouts for p in r.logprobs]
            sampling_T = torch.tensor(sampling, device=device)
            advantages_R = torch.cat([scored[i].advantages_G for i in members])
            terms = grpo_loss(
                new.logprobs_T,
                old_T,
                advantages_R[batch.rollout_T].to(device),
                token_weights(stage.algo.aggregation, batch.rollout_T, batch.num_rollouts, totals).to(device),
                stage.algo,
                reference_T=reference_T,
                sampling_T=sampling_T,
            )
        with clock("backward", num_tokens):
            terms.loss.backward()
        loss += terms.loss.detach()
        stats.add(terms, new.entropy_T, old_T - sampling_T)
    return float(loss)


def update_policy(
    stage: GrpoStage,
    loaded: LoadedModel,
    optimizer: torch.optim.AdamW,
    scored: Sequence[ScoredGroup],
    reference: Reference | None,
    learning_rates: Sequence[float],
    clock: PhaseClock,
) -> UpdateStats:
    """`stage.updates_per_step` optimiser steps, each on its share of the groups, in the order they were drawn."""
    stats = UpdateStats()
    updates = stage.updates_per_step
    borders = [len(scored) * u // updates for u in range(updates + 1)]
    old = _old_logprobs(stage, loaded, scored, borders[1], reference, clock)
    for u, (start, end) in enumerate(pairwise(borders)):
        part = scored[start:end]
        loss = accumulate_gradients(stage, loaded, part, old[start:end], reference, stats, clock)
        with clock("optimiser"):
            blame = (s.group.prompt.id for s in part)
            stats.grad_norm += apply_gradients(optimizer, stage.optimizer, learning_rates[u], loss, blame)
        stats.loss += loss
        stats.updates += 1
    return stats


def _old_logprobs(
    stage: GrpoStage,
    loaded: LoadedModel,
    scored: Sequence[ScoredGroup],
    first: int,
    reference: Reference | None,
    clock: PhaseClock,
) -> list[Tensor | None]:
    """Log-probs f32[its tokens] of each group under the policy that is about to move; None for groups before `first`,
    which the first update takes while the policy still stands, and for those that no update forwards."""
    old: list[Tensor | None] = [None] * len(scored)
    needed = [i for i in forwarded(stage, scored, reference) if i >= first]
    for batch, members in _micro_batches(stage, scored, needed, clock):
        with clock("old", batch.target_T.shape[0]):
            logprobs_T = no_grad_logprobs(
                loaded, batch, temperature=stage.rollout.temperature, chunk=stage.logprob_chunk
            )
        for i, piece in zip(members, logprobs_T.split([scored[i].tokens for i in members]), strict=True):
            old[i] = piece
    return old


def _micro_batches(
    stage: GrpoStage, scored: Sequence[ScoredGroup], chosen: Sequence[int], clock: PhaseClock
) -> Iterator[tuple[PackedBatch, list[int]]]:
    """Packed rows of the `chosen` groups, each with the indices of its groups in the order they were packed."""
    items = {i: scored[i].item for i in chosen}
    for row in plan_micro_batches([items[i].length for i in chosen], stage.micro_batch_tokens):
        members = [chosen[c] for c in row]
        with clock("pack"):
            batch = pack([items[i] for i in members])
        yield batch, members
