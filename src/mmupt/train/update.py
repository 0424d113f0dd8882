"""From scored groups to new weights: one or several optimiser steps on the groups of one rollout.

Groups are forwarded packed, in micro-batches of any cut, by one process or by several, each with whole groups: every
token's weight in the loss comes from the counts of the whole update, so the cut changes gradients by float error only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from mmupt.algo.losses import LossTerms, Totals, grpo_loss, highest_covariance, token_weights
from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import Processes
from mmupt.train.optimizer import apply_gradients
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage
from mmupt.types import PackedBatch, RolloutGroup


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """A group on its way into the loss, with its advantages f32[G].

    Of its tokens (rollout behind rollout), `masked_T` bool[tokens] are those that neither advantage nor KL term
    reaches, None for none; `kl_T` bool[tokens] those that have a KL term, None for all. All tokens count where the
    loss is divided by counts: a mask takes its tokens' gradient away and leaves that of the others as it is.
    """

    group: RolloutGroup
    advantages_G: Tensor
    masked_T: Tensor | None = None
    kl_T: Tensor | None = None

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

    @property
    def has_kl(self) -> bool:
        """Under a KL term, some token of the group has one."""
        return self.kl_T is None or bool(self.kl_T.any())

    @property
    def learns_T(self) -> Tensor:
        """bool[tokens], True where no mask lies."""
        return torch.ones(self.tokens, dtype=torch.bool) if self.masked_T is None else ~self.masked_T


@dataclass(slots=True)
class UpdateStats:
    """Sums over the updates of one step; `means()` is what metrics show. What comes from the device stays there until
    then, so that no micro-batch waits for a number."""

    loss: float = 0.0
    grad_norm: float = 0.0
    updates: int = 0
    tokens: int = 0
    forwarded: list[int] = field(default_factory=list)
    """Indices of the groups that were forwarded."""
    _sums: Tensor | None = None  # f32[4]: clipped tokens, KL, entropy, importance
    _mismatch: Tensor | None = None

    def add(self, terms: LossTerms, entropy_T: Tensor, mismatch_T: Tensor) -> None:
        """One micro-batch: its T tokens' entropies, and how far the engine's log-probs are from the trainer's."""
        sums = torch.stack([terms.clipped_tokens.float(), terms.kl_sum, entropy_T.sum(), terms.importance_sum])
        worst = mismatch_T.abs().max()
        self.tokens += entropy_T.shape[0]
        self._sums = sums if self._sums is None else self._sums + sums
        self._mismatch = worst if self._mismatch is None else torch.maximum(self._mismatch, worst)

    def gather(self, processes: Processes) -> None:
        """The sums of all processes, in each of them; `loss`, `grad_norm` and `forwarded` are of all of them already.
        Collective."""
        own = (
            []
            if self._sums is None or self._mismatch is None
            else [(self.tokens, self._sums.tolist(), float(self._mismatch))]
        )
        found = [share for shares in processes.gather(own) for share in shares]
        self.tokens = sum(tokens for tokens, _, _ in found)
        if found:
            columns = zip(*(sums for _, sums, _ in found), strict=True)
            self._sums = torch.tensor([math.fsum(column) for column in columns])
            self._mismatch = torch.tensor(max(worst for *_, worst in found))

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


def forwarded(stage: GrpoStage, scored: Sequence[ScoredGroup], reference: StartModel | None) -> list[int]:
    """Indices of the groups that an update forwards. A group without any signal adds exactly zero where there is no KL
    term, or where none of its tokens has one; under one it is left out only if `algo.skip_silent` says so."""
    held = reference is not None and not stage.algo.skip_silent
    return [i for i, s in enumerate(scored) if not s.silent or (held and s.has_kl)]


def choose_kl_tokens(stage: GrpoStage, scored: Sequence[ScoredGroup]) -> list[ScoredGroup]:
    """The groups with the tokens of their KL term, as `algo.kl_tokens` says: for each update of the step, the
    `algo.kl_fraction` of the tokens it learns from whose log-prob and advantage vary together the most.

    The log-probs are those that the tokens were sampled with, so that the choice stands before any forward and depends
    on no micro-batch; rollouts are compared at the temperature they were drawn at.
    """
    if stage.algo.kl_tokens == "all":
        return list(scored)
    chosen: list[ScoredGroup] = []
    for start, end in _shares(stage, scored):
        part = scored[start:end]
        if not part:
            continue
        rollouts = [rollout for s in part for rollout in s.group.rollouts]
        lengths = torch.tensor([len(rollout.token_ids) for rollout in rollouts])
        logprobs_T = torch.tensor([p for rollout in rollouts for p in rollout.logprobs], dtype=torch.float64)
        advantages_T = torch.cat([s.advantages_G for s in part]).repeat_interleave(lengths)
        learns_T = torch.cat([s.learns_T for s in part])
        kl_T = torch.zeros_like(learns_T)
        kl_T[learns_T] = highest_covariance(logprobs_T[learns_T], advantages_T[learns_T], stage.algo.kl_fraction)
        pieces = kl_T.split([s.tokens for s in part])
        chosen += [replace(s, kl_T=piece) for s, piece in zip(part, pieces, strict=True)]
    return chosen


def accumulate_gradients(
    stage: GrpoStage,
    policy: Policy,
    scored: Sequence[ScoredGroup],
    old: Sequence[Tensor | None],
    reference: StartModel | None,
    stats: UpdateStats,
    clock: PhaseClock,
) -> float:
    """Add the gradient of one update over `scored` to the policy's parameters; returns what the rows of this process
    add to its loss.

    `old` are the log-probs of each group's tokens when it was sampled; None means that the policy has not moved since,
    so they are those of this very forward. Groups that are not forwarded count in the totals like all others, and so do
    tokens whose weight a mask makes zero.
    """
    totals = Totals(
        tokens=sum(s.tokens for s in scored),
        rollouts=sum(s.group.size for s in scored),
        max_new_tokens=stage.rollout.max_new_tokens,
    )
    chunk, temperature, device = stage.logprob_chunk, stage.rollout.temperature, policy.loaded.device
    loss = torch.zeros((), device=device)
    chosen = forwarded(stage, scored, reference)
    for batch, row in policy.rows([scored[i].item for i in chosen], stage.micro_batch_tokens, clock, reference):
        members = [chosen[c] for c in row]
        num_tokens = batch.target_T.shape[0]
        reference_T = None
        if reference is not None:
            with clock("reference", num_tokens):
                reference_T = reference.logprobs(batch, temperature=temperature, chunk=chunk)
        with clock("forward", num_tokens):
            new = policy.logprobs(batch, temperature=temperature, chunk=chunk, entropy=True)
            assert new.entropy_T is not None
            known = [old_t for i in members if (old_t := old[i]) is not None]
            old_T = torch.cat(known) if known else new.logprobs_T.detach()
            sampling = [p for i in members for r in scored[i].group.rollouts for p in r.logprobs]
            sampling_T = torch.tensor(sampling, device=device)
            groups = [scored[i] for i in members]
            advantages_R = torch.cat([s.advantages_G for s in groups])
            weights_T = token_weights(stage.algo.aggregation, batch.rollout_T, batch.num_rollouts, totals)
            kl_where = [s.learns_T if s.kl_T is None else s.kl_T for s in groups]
            terms = grpo_loss(
                new.logprobs_T,
                old_T,
                advantages_R[batch.rollout_T].to(device),
                (weights_T * torch.cat([s.learns_T for s in groups])).to(device),
                stage.algo,
                reference_T=reference_T,
                sampling_T=sampling_T,
                kl_where_T=torch.cat(kl_where).to(device),
            )
        with clock("backward", num_tokens):
            terms.loss.backward()
        loss += terms.loss.detach()
        stats.add(terms, new.entropy_T, old_T - sampling_T)
    return float(loss)


def update_policy(
    stage: GrpoStage,
    policy: Policy,
    optimizer: torch.optim.AdamW,
    scored: Sequence[ScoredGroup],
    reference: StartModel | None,
    learning_rates: Sequence[float],
    clock: PhaseClock,
) -> UpdateStats:
    """`stage.updates_per_step` optimiser steps, each on its share of the groups, in the order they were drawn; none on
    no groups. Collective: all processes have all groups, and `policy.loaded` the new weights in the end."""
    stats = UpdateStats()
    scored = choose_kl_tokens(stage, scored)
    shares = _shares(stage, scored)
    mine = [_of_this_process(stage, policy, scored[start:end], start, reference) for start, end in shares]
    old = _old_logprobs(stage, policy, scored, sorted(i for share in mine[1:] for i in share), clock)
    stats.forwarded = forwarded(stage, scored, reference)
    for u, (start, end) in enumerate(shares):
        part = scored[start:end]
        if not part:
            continue  # every group was left out: the weights stay as they are
        own = accumulate_gradients(stage, policy, part, old[start:end], reference, stats, clock)
        with clock("optimiser"):
            loss = policy.processes.sum(own)
            blame = policy.blame(own, (scored[i].group.prompt.id for i in mine[u]))
            stats.grad_norm += apply_gradients(optimizer, stage.optimizer, learning_rates[u], loss, blame)
        stats.loss += loss
        stats.updates += 1
    with clock("sync"):
        policy.publish()
        stats.gather(policy.processes)
    return stats


def _shares(stage: GrpoStage, scored: Sequence[ScoredGroup]) -> list[tuple[int, int]]:
    """From which group to which each update of the step goes."""
    updates = stage.updates_per_step
    return list(pairwise(len(scored) * u // updates for u in range(updates + 1)))


def _of_this_process(
    stage: GrpoStage, policy: Policy, part: Sequence[ScoredGroup], start: int, reference: StartModel | None
) -> list[int]:
    """Which groups this process forwards of an update over `part`, which begins at group `start` of the step."""
    chosen = forwarded(stage, part, reference)
    rows = policy.share([part[i].item for i in chosen], stage.micro_batch_tokens)
    return sorted(start + chosen[c] for row in rows for c in row)


def _old_logprobs(
    stage: GrpoStage, policy: Policy, scored: Sequence[ScoredGroup], needed: Sequence[int], clock: PhaseClock
) -> list[Tensor | None]:
    """Log-probs f32[its tokens] of the groups `needed` under the policy that is about to move; None for the others:
    those of the first update, which takes them while the policy still stands, those that no update forwards, and those
    that another process does."""
    old: list[Tensor | None] = [None] * len(scored)
    for batch, members in policy.in_step(list(_micro_batches(stage, scored, needed, clock))):
        with clock("old", batch.target_T.shape[0]):
            logprobs_T = policy.frozen_logprobs(batch, temperature=stage.rollout.temperature, chunk=stage.logprob_chunk)
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
