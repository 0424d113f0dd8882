"""GRPO's loss as pure functions of explicit tensors and **global** counts.

The clipped objective is PPO's (arXiv 1707.06347), with separate bounds (DAPO, arXiv 2503.14476) and the dual clip
(arXiv 1912.09729); the KL term to a reference is added to the loss (arXiv 2402.03300, eq. 1). The paper's text
divides by each response's length, its code by the tokens of the batch: `aggregation` chooses.

Suffixes: T completion tokens of a micro-batch, R rollouts of a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmupt.algo.settings import AlgoSettings


@dataclass(frozen=True, slots=True)
class Totals:
    """What one optimiser step covers, over all micro-batches and all processes."""

    tokens: int
    rollouts: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class LossTerms:
    """`loss` is this micro-batch's share of the step's loss: shares add up. Sums over T tokens are for metrics."""

    loss: Tensor
    clipped_tokens: Tensor
    kl_sum: Tensor
    importance_sum: Tensor


def token_weights(aggregation: str, rollout_T: Tensor, num_rollouts: int, totals: Totals) -> Tensor:
    """f32[T], the weight of each token in the step's loss.

    "token_mean"     1 / tokens of the step
    "sequence_mean"  1 / (own length x rollouts of the step)
    "constant"       1 / (max_new_tokens x rollouts of the step), Dr. GRPO (arXiv 2503.20783)
    """
    if aggregation == "token_mean":
        return torch.full(rollout_T.shape, 1.0 / totals.tokens, device=rollout_T.device)
    if aggregation == "sequence_mean":
        length_R = torch.bincount(rollout_T, minlength=num_rollouts)
        return 1.0 / (length_R[rollout_T].float() * totals.rollouts)
    return torch.full(rollout_T.shape, 1.0 / (totals.max_new_tokens * totals.rollouts), device=rollout_T.device)


def kl_terms(logprobs_T: Tensor, reference_T: Tensor, estimator: str) -> Tensor:
    """Per-token estimate of KL(policy || reference) from sampled tokens, with d = log pi_ref - log pi:
    k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1 (J. Schulman, "Approximating KL divergence", 2020).

    As a loss, on tokens drawn from the policy, k2 has the gradient of KL(policy || reference) in expectation, k3 that
    of KL(reference || policy), and k1's is zero. k3 is what the paper and most trainers use.
    """
    d_T = reference_T - logprobs_T
    if estimator == "k1":
        return -d_T
    if estimator == "k2":
        return 0.5 * d_T.square()
    return torch.exp(d_T) - d_T - 1.0


def highest_covariance(logprobs_T: Tensor, advantages_T: Tensor, fraction: float) -> Tensor:
    """bool[T]: the `fraction` of the tokens, rounded down but at least one, with the highest
    (log pi - its mean) x (advantage - its mean), KL-Cov's choice (arXiv 2505.22617). Of equals, the earlier ones."""
    logprobs_T, advantages_T = logprobs_T.double(), advantages_T.double()
    covariance_T = (logprobs_T - logprobs_T.mean()) * (advantages_T - advantages_T.mean())
    count = max(1, int(fraction * covariance_T.shape[0]))
    chosen_T = torch.zeros_like(covariance_T, dtype=torch.bool)
    chosen_T[covariance_T.argsort(descending=True, stable=True)[:count]] = True
    return chosen_T


def grpo_loss(
    logprobs_T: Tensor,
    old_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    settings: AlgoSettings,
    *,
    reference_T: Tensor | None = None,
    sampling_T: Tensor | None = None,
    kl_where_T: Tensor | None = None,
) -> LossTerms:
    """One micro-batch's share of the step's loss.

    `old_T` are the policy's log-probs when the rollouts were drawn, `sampling_T` those that the engine reported; their
    ratio, cut at `importance_cap`, corrects for an engine that computes a little differently (truncated importance
    sampling, "Your efficient RL framework secretly brings you off-policy RL training", 2025). `kl_where_T` bool[T] are
    the tokens that have a KL term, None for all; `kl_sum` is of all tokens in any case.
    """
    ratio_T = torch.exp(logprobs_T - old_T)
    bounded_T = ratio_T.clamp(1.0 - settings.clip_low, 1.0 + settings.clip_high)
    objective_T = torch.minimum(ratio_T * advantages_T, bounded_T * advantages_T)
    if settings.dual_clip is not None:
        floor_T = settings.dual_clip * advantages_T
        objective_T = torch.where(advantages_T < 0, torch.maximum(objective_T, floor_T), objective_T)
    loss_T = -objective_T
    importance_T = torch.ones_like(loss_T)
    if settings.importance_cap is not None and sampling_T is not None:
        importance_T = torch.exp(old_T - sampling_T).clamp(max=settings.importance_cap)
        loss_T = loss_T * importance_T
    kl_T = torch.zeros_like(loss_T)
    if reference_T is not None:
        kl_T = kl_terms(logprobs_T, reference_T, settings.kl_estimator)
        weighted_T = kl_T * ratio_T if settings.kl_importance else kl_T
        if kl_where_T is not None:
            weighted_T = weighted_T * kl_where_T
        loss_T = loss_T + settings.kl_coef * weighted_T
    clipped_T = torch.where(advantages_T > 0, ratio_T > 1.0 + settings.clip_high, ratio_T < 1.0 - settings.clip_low)
    return LossTerms(
        loss=(loss_T * weights_T).sum(),
        clipped_tokens=(clipped_T & (advantages_T != 0)).sum(),
        kl_sum=kl_T.detach().sum(),
        importance_sum=importance_T.detach().sum(),
    )
