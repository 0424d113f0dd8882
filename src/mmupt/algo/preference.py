"""DPO's loss as a pure function of explicit tensors and the **global** number of pairs.

    -log sigmoid(beta (log pi(y+) / pi_ref(y+) - log pi(y-) / pi_ref(y-)))      arXiv 2305.18290, eq. 7

of a chosen response y+ and a rejected one y-, with conservative labels and a term of supervised fine-tuning where
`PreferenceSettings` ask for them.

Suffixes: N pairs of a micro-batch, R = 2 N responses, T tokens of all responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmupt.algo.settings import PreferenceSettings


@dataclass(frozen=True, slots=True)
class PreferenceTerms:
    """`loss` is this micro-batch's share of the step's loss: shares add up. All else is f32[N] without gradient, for
    metrics: implicit rewards beta log(pi / pi_ref), and log-probs of whole responses under the policy."""

    loss: Tensor
    chosen_reward_N: Tensor
    rejected_reward_N: Tensor
    chosen_logprob_N: Tensor
    rejected_logprob_N: Tensor


def preference_loss(
    logprobs_T: Tensor,
    reference_T: Tensor,
    lengths: Sequence[int],
    settings: PreferenceSettings,
    num_pairs: int,
) -> PreferenceTerms:
    """One micro-batch's share of the step's loss.

    `logprobs_T` and `reference_T` are the log-probs of tokens under policy and reference, response behind response: the
    chosen one of a pair, then its rejected one, then the next pair; `lengths` are the tokens of each response (each at
    least one). `num_pairs` counts the pairs of the whole step, over all micro-batches and processes.

    A response's log-ratio is summed from those of its tokens, so that it is exactly zero while the policy stands where
    the reference does, and not the difference of two large sums.
    """
    ratio_R = _sums(logprobs_T - reference_T, lengths)
    logprob_R = _sums(logprobs_T, lengths)
    chosen_reward_N, rejected_reward_N = settings.beta * ratio_R[0::2], settings.beta * ratio_R[1::2]
    margin_N = chosen_reward_N - rejected_reward_N
    right, wrong = 1.0 - settings.label_smoothing, settings.label_smoothing
    loss_N = settings.weight * -(right * logsigmoid(margin_N) + wrong * logsigmoid(-margin_N))
    if settings.sft_weight:
        chosen_length_N = torch.tensor(lengths[0::2], device=logprob_R.device)
        loss_N = loss_N - settings.sft_weight * logprob_R[0::2] / chosen_length_N
    return PreferenceTerms(
        loss=loss_N.sum() / num_pairs,
        chosen_reward_N=chosen_reward_N.detach(),
        rejected_reward_N=rejected_reward_N.detach(),
        chosen_logprob_N=logprob_R[0::2].detach(),
        rejected_logprob_N=logprob_R[1::2].detach(),
    )


def _sums(x_T: Tensor, lengths: Sequence[int]) -> Tensor:
    """f32[R]. One response after another: a scattered addition has no fixed order on a GPU."""
    return torch.stack([piece.sum() for piece in x_T.split(list(lengths))])
