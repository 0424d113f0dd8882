"""The loss against a slow reference that walks over rollouts and tokens one by one, as the papers write it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmupt.algo.losses import Totals, grpo_loss, highest_covariance, kl_terms, token_weights
from mmupt.algo.settings import AlgoSettings

LENGTHS = [3, 1, 5, 2]
MAX_NEW_TOKENS = 7


def token_loss(new: float, old: float, a: float, ref: float, sampling: float, s: AlgoSettings) -> float:
    """One token, in plain floats: PPO's clip, the dual clip, the importance weight, the KL term."""
    ratio = math.exp(new - old)
    objective = min(ratio * a, min(max(ratio, 1 - s.clip_low), 1 + s.clip_high) * a)
    if s.dual_clip is not None and a < 0:
        objective = max(objective, s.dual_clip * a)
    loss = -objective
    if s.importance_cap is not None:
        loss *= min(math.exp(old - sampling), s.importance_cap)
    if s.kl_coef:
        d = ref - new
        kl = {"k1": -d, "k2": d * d / 2, "k3": math.exp(d) - d - 1}[s.kl_estimator]
        loss += s.kl_coef * kl * (ratio if s.kl_importance else 1.0)
    return loss


def slow_loss(new: list[list[float]], tensors: dict[str, list[list[float]]], a: list[float], s: AlgoSettings) -> float:
    """The whole batch: token losses averaged as `aggregation` says."""
    losses = [
        [token_loss(n, o, a[r], f, p, s) for n, o, f, p in zip(*rows, strict=True)]
        for r, rows in enumerate(zip(new, tensors["old"], tensors["reference"], tensors["sampling"], strict=True))
    ]
    if s.aggregation == "token_mean":
        return sum(map(sum, losses)) / sum(map(len, losses))
    if s.aggregation == "sequence_mean":
        return sum(sum(row) / len(row) for row in losses) / len(losses)
    return sum(map(sum, losses)) / (MAX_NEW_TOKENS * len(losses))


def ragged(flat: Tensor) -> list[list[float]]:
    return [piece.tolist() for piece in flat.split(LENGTHS)]


CASES = list(
    itertools.product(
        ["token_mean", "sequence_mean", "constant"],
        [None, 3.0],
        [0.0, 0.1],
        ["k1", "k2", "k3"],
        [None, 1.2],
        [False, True],
    )
)


@pytest.mark.parametrize(("aggregation", "dual_clip", "kl_coef", "estimator", "cap", "kl_importance"), CASES)
def test_loss_equals_the_slow_reference(
    aggregation: str, dual_clip: float | None, kl_coef: float, estimator: str, cap: float | None, kl_importance: bool
) -> None:
    settings = AlgoSettings(
        aggregation=aggregation,  # type: ignore[arg-type]
        dual_clip=dual_clip,
        kl_coef=kl_coef,
        kl_estimator=estimator,  # type: ignore[arg-type]
        importance_cap=cap,
        kl_importance=kl_importance,
    )
    rng = torch.Generator().manual_seed(len(aggregation))
    new, old, reference, sampling = (
        torch.randn(sum(LENGTHS), generator=rng, dtype=torch.float64) - 2 for _ in range(4)
    )
    advantages_R = torch.tensor([1.5, -2.0, 0.0, -0.5], dtype=torch.float64)
    rollout_T = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    totals = Totals(tokens=sum(LENGTHS), rollouts=4, max_new_tokens=MAX_NEW_TOKENS)
    terms = grpo_loss(
        new,
        old,
        advantages_R[rollout_T],
        token_weights(aggregation, rollout_T, 4, totals),
        settings,
        reference_T=reference if kl_coef else None,
        sampling_T=sampling,
    )
    rows = {"old": ragged(old), "reference": ragged(reference), "sampling": ragged(sampling)}
    assert float(terms.loss) == pytest.approx(slow_loss(ragged(new), rows, advantages_R.tolist(), settings), rel=1e-6)


def test_a_clipped_token_has_no_gradient() -> None:
    """Ratio e^1 with a positive advantage and e^-1 with a negative one are outside; e^0 is inside."""
    new = torch.tensor([1.0, -1.0, 0.0], requires_grad=True)
    terms = grpo_loss(new, torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), torch.ones(3), AlgoSettings(kl_coef=0.0))
    terms.loss.backward()  # type: ignore[no-untyped-call]
    assert new.grad is not None
    assert new.grad.tolist() == [0.0, 0.0, -1.0]
    assert int(terms.clipped_tokens) == 2


def test_dual_clip_stops_the_pull_of_a_bad_answer_that_became_likely() -> None:
    new = torch.tensor([2.0], requires_grad=True)  # ratio 7.4, over the dual clip of 3
    loss = grpo_loss(new, torch.zeros(1), torch.tensor([-1.0]), torch.ones(1), AlgoSettings(kl_coef=0.0)).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 3.0 and float(new.grad) == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_kl_estimators_are_unbiased(estimator: str) -> None:
    """Their mean over tokens drawn from the policy is the KL itself (k2 is biased by design)."""
    logits, reference = torch.tensor([0.5, -0.2, 1.0]), torch.tensor([0.1, 0.3, 0.2])
    p, log_p, log_r = logits.softmax(0), logits.log_softmax(0), reference.log_softmax(0)
    exact = (p * (log_p - log_r)).sum()
    estimate = (p * kl_terms(log_p, log_r, estimator)).sum()
    torch.testing.assert_close(estimate, exact)


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_weights_do_not_depend_on_the_cut_into_micro_batches(aggregation: str) -> None:
    totals = Totals(tokens=sum(LENGTHS), rollouts=4, max_new_tokens=MAX_NEW_TOKENS)
    rollout_T = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    whole = token_weights(aggregation, rollout_T, 4, totals)
    first = token_weights(aggregation, rollout_T[:4], 2, totals)
    second = token_weights(aggregation, rollout_T[4:] - 2, 2, totals)
    assert torch.equal(torch.cat([first, second]), whole)


def slow_choice(logprobs: list[float], advantages: list[float], fraction: float) -> list[int]:
    """The places of the tokens with the highest covariance, as KL-Cov's paper writes it."""
    mean_l, mean_a = sum(logprobs) / len(logprobs), sum(advantages) / len(advantages)
    covariance = [(p - mean_l) * (a - mean_a) for p, a in zip(logprobs, advantages, strict=True)]
    order = sorted(range(len(covariance)), key=lambda i: (-covariance[i], i))
    return sorted(order[: max(1, int(fraction * len(covariance)))])


@pytest.mark.parametrize("fraction", [1e-6, 0.02, 0.3, 1.0])
def test_highest_covariance_equals_the_slow_choice(fraction: float) -> None:
    rng = torch.Generator().manual_seed(1)
    logprobs, advantages = -torch.rand(317, generator=rng) * 5, torch.randn(317, generator=rng)
    chosen = highest_covariance(logprobs, advantages, fraction).nonzero()[:, 0].tolist()
    assert chosen == slow_choice(logprobs.double().tolist(), advantages.double().tolist(), fraction)


def test_of_equal_covariances_the_earlier_tokens_are_chosen() -> None:
    """Deviations (1, -1) in both: all four tokens have covariance 1."""
    logprobs, advantages = torch.tensor([-1.0, -3.0, -1.0, -3.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert highest_covariance(logprobs, advantages, 0.5).tolist() == [True, True, False, False]
    assert highest_covariance(torch.empty(0), torch.empty(0), 0.5).tolist() == []


def test_a_kl_term_on_some_tokens_is_that_of_these_tokens_alone() -> None:
    rng = torch.Generator().manual_seed(2)
    new, old, reference = (torch.randn(11, generator=rng, dtype=torch.float64) - 2 for _ in range(3))
    advantages, weights = torch.randn(11, generator=rng, dtype=torch.float64), torch.full((11,), 1 / 11)
    where = torch.arange(11) % 3 == 0
    settings = AlgoSettings(kl_coef=0.1)
    terms = grpo_loss(new, old, advantages, weights, settings, reference_T=reference, kl_where_T=where)
    expected = sum(
        token_loss(n, o, a, r if w else n, 0.0, settings)  # a token is at no distance from itself
        for n, o, a, r, w in zip(*(x.tolist() for x in (new, old, advantages, reference, where)), strict=True)
    )
    assert float(terms.loss) == pytest.approx(expected / 11, rel=1e-6)
    everywhere = grpo_loss(new, old, advantages, weights, settings, reference_T=reference)
    assert float(terms.kl_sum) == float(everywhere.kl_sum), "the metric is the distance of all tokens"


def test_kl_tokens_need_a_kl_term() -> None:
    with pytest.raises(ValueError, match=r"kl_tokens \"covariance\".*kl_coef is 0; set kl_coef > 0"):
        AlgoSettings(kl_tokens="covariance", kl_coef=0.0)
    with pytest.raises(ValueError, match="kl_fraction"):
        AlgoSettings(kl_tokens="covariance", kl_fraction=0.0)
    assert AlgoSettings(kl_tokens="covariance").kl_fraction == 0.02
