"""The effective rank of hidden states: MM-UPT's third diagnostic (arXiv 2505.22453). It falls when all responses come
to look alike inside the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.models.loading import LoadedModel
from mmupt.types import PackedBatch, RolloutGroup


def effective_rank(states_ND: Tensor) -> float:
    """exp of the entropy of the normalised singular values (Roy & Vetterli, EUSIPCO 2007) of N states around their
    mean: between 1 and min(N - 1, D); 0.0 where all states are the same.

    The mean is taken out because it is common to all and would hide how they differ.
    """
    centred_ND = states_ND.double() - states_ND.double().mean(dim=0)
    singular = torch.linalg.svdvals(centred_ND)
    if float(singular.max()) <= 1e-9 * float(states_ND.abs().max()):
        return 0.0
    p = singular / singular.sum()
    return float(torch.exp(torch.special.entr(p).sum()))


def response_states(loaded: LoadedModel, groups: Sequence[RolloutGroup], micro_batch_tokens: int) -> Tensor:
    """f32[N, D] on the CPU: for each of the N rollouts of all groups the mean of the last hidden states over its
    tokens, without gradient, in packed rows of at most `micro_batch_tokens` positions."""
    items = [PackItem(group.encoded, [rollout.token_ids for rollout in group.rollouts]) for group in groups]
    states: list[Tensor] = [torch.empty(0)] * len(items)
    for row in plan_micro_batches([item.length for item in items], micro_batch_tokens):
        means_RD = _means(loaded, pack([items[i] for i in row]))
        for i, piece in zip(row, means_RD.split([len(items[i].completions) for i in row]), strict=True):
            states[i] = piece
    return torch.cat(states)


@torch.no_grad()
def _means(loaded: LoadedModel, batch: PackedBatch) -> Tensor:
    """f32[R, D]."""
    device, model = loaded.device, loaded.model
    with loaded.autocast():
        hidden_LD = loaded.family.hidden(
            model,
            batch.input_ids_L.to(device),
            batch.positions_3L.to(device),
            loaded.attend(batch.spans),
            loaded.pictures(model, batch.pictures),
        )
    tokens_T = torch.cat([torch.arange(span.first_completion, span.end) for span in batch.spans])
    hidden_TD = hidden_LD[tokens_T.to(device)].float()
    sums_RD = hidden_TD.new_zeros(batch.num_rollouts, hidden_TD.shape[1]).index_add_(
        0, batch.rollout_T.to(device), hidden_TD
    )
    return (sums_RD.cpu() / batch.rollout_T.bincount(minlength=batch.num_rollouts)[:, None]).float()
