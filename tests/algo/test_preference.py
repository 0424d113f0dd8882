"""The loss against a slow reference that walks over pairs and tokens in plain floats, as the papers write it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mmupt.algo.preference import preference_loss
from mmupt.algo.settings import PreferenceSettings

LENGTHS = [3, 1, 5, 2, 1, 4]


def slow_loss(new: list[list[float]], reference: list[list[float]], s: PreferenceSettings) -> float:
    """Responses chosen, rejected, chosen, ...; each a list of token log-probs."""
    losses = []
    for n in range(0, len(new), 2):
        ratio = [math.exp(sum(new[r])) / math.exp(sum(reference[r])) for r in (n, n + 1)]
        preferred = 1 / (1 + math.exp(-s.beta * (math.log(ratio[0]) - math.log(ratio[1]))))
        smooth = s.label_smoothing
        preference = -(1 - smooth) * math.log(preferred) - smooth * math.log(1 - preferred)
        fine_tuning = -sum(new[n]) / len(new[n])
        losses.append(s.weight * preference + s.sft_weight * fine_tuning)
    return sum(losses) / len(losses)


def slow_gradient(new: list[list[float]], reference: list[list[float]], s: PreferenceSettings) -> list[float]:
    """By central differences in double precision."""
    gradient = []
    for row in new:
        for t in range(len(row)):
            ends = []
            for step in (1e-5, -1e-5):
                row[t] += step
                ends.append(slow_loss(new, reference, s))
                row[t] -= step
            gradient.append((ends[0] - ends[1]) / 2e-5)
    return gradient


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    new_T = -3 * torch.rand(sum(LENGTHS), generator=rng, dtype=torch.float64)
    return new_T, new_T + torch.randn(new_T.shape, generator=rng, dtype=torch.float64)


def ragged(flat: Tensor) -> list[list[float]]:
    return [piece.tolist() for piece in flat.split(LENGTHS)]


@pytest.mark.parametrize(
    ("beta", "smoothing", "weights"), list(itertools.product([0.1, 1.0], [0.0, 0.3], [(1.0, 0.0), (0.8, 1.0)]))
)
def test_loss_and_gradient_equal_the_slow_reference(
    beta: float, smoothing: float, weights: tuple[float, float]
) -> None:
    settings = PreferenceSettings(beta=beta, label_smoothing=smoothing, weight=weights[0], sft_weight=weights[1])
    new_T, reference_T = drawn(seed=int(10 * beta))
    new_T.requires_grad_()
    terms = preference_loss(new_T, reference_T, LENGTHS, settings, num_pairs=3)
    terms.loss.backward()
    expected = slow_loss(ragged(new_T), ragged(reference_T), settings)
    assert float(terms.loss.detach()) == pytest.approx(expected, rel=1e-12)
    assert new_T.grad is not None
    assert new_T.grad.tolist() == pytest.approx(
        slow_gradient(ragged(new_T), ragged(reference_T), settings), rel=1e-6, abs=1e-9
    )


def test_shares_of_micro_batches_add_up() -> None:
    settings = PreferenceSettings(label_smoothing=0.1, sft_weight=1.0)
    new_T, reference_T = drawn(0)
    whole = preference_loss(new_T, reference_T, LENGTHS, settings, num_pairs=3).loss
    at = sum(LENGTHS[:4])
    first = preference_loss(new_T[:at], reference_T[:at], LENGTHS[:4], settings, num_pairs=3).loss
    second = preference_loss(new_T[at:], reference_T[at:], LENGTHS[4:], settings, num_pairs=3).loss
    torch.testing.assert_close(first + second, whole)


def test_rewards_and_log_probs_are_those_of_whole_responses() -> None:
    new_T, reference_T = drawn(1)
    terms = preference_loss(new_T, reference_T, LENGTHS, PreferenceSettings(beta=0.5), num_pairs=3)
    logprobs = [sum(row) for row in ragged(new_T)]
    rewards = [0.5 * (sum(a) - sum(b)) for a, b in zip(ragged(new_T), ragged(reference_T), strict=True)]
    for measured, expected in (
        (terms.chosen_reward_N, rewards[0::2]),
        (terms.rejected_reward_N, rewards[1::2]),
        (terms.chosen_logprob_N, logprobs[0::2]),
        (terms.rejected_logprob_N, logprobs[1::2]),
    ):
        assert measured.tolist() == pytest.approx(expected)
        assert not measured.requires_grad


def test_where_the_policy_stands_at_its_reference_the_loss_is_log_two_exactly() -> None:
    """Also for responses so long that two sums of log-probs would differ in the last bits."""
    new_T = -10 * torch.rand(4000, generator=torch.Generator().manual_seed(0))
    terms = preference_loss(new_T, new_T.clone(), [3000, 1000], PreferenceSettings(), num_pairs=1)
    assert float(terms.loss) == pytest.approx(math.log(2), rel=1e-7)
    assert terms.chosen_reward_N.tolist() == terms.rejected_reward_N.tolist() == [0.0]


def test_far_from_the_reference_loss_and_gradient_stay_finite() -> None:
    new_T = torch.tensor([-2000.0, -1.0], requires_grad=True)
    terms = preference_loss(new_T, torch.tensor([-1.0, -2000.0]), [1, 1], PreferenceSettings(beta=1.0), num_pairs=1)
    terms.loss.backward()
    assert float(terms.loss.detach()) == pytest.approx(3998.0)
    assert new_T.grad is not None and new_T.grad.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"label_smoothing": -0.1}, {"weight": 0.0}, {"sft_weight": -1.0}]
)
def test_settings_that_would_teach_nothing_or_the_opposite_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PreferenceSettings(**wrong)
