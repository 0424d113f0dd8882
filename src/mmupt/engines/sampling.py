"""Drawing tokens: counted randomness, one stream a rollout, whatever the batch looks like.

N rows that are still running, V vocabulary, B banned ids, C candidates in the order in which they are drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from mmupt.engines.base import Sampling

_BLOCK = 128
"""Ids whose mass is added up in one go, see `_inverse_cdf`."""
_CANDIDATES = 1024
"""Top-p on a CPU looks among this many ids before it sorts the vocabulary."""


def uniform_streams(seeds: Sequence[int], length: int) -> Tensor:
    """f64[N, length] of uniforms in [0, 1): row n depends on seeds[n] alone (Philox, a counter-based generator)."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds]
    return torch.from_numpy(np.stack(rows))


def draw(logits_NV: Tensor, uniform_N: Tensor, banned_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Next token i64[N] and its log-prob f32[N] under softmax(logits / temperature) over the whole vocabulary.

    The ids `banned_B` i64[B] are never drawn. Top-p keeps the smallest set of tokens whose mass reaches `top_p`
    (arXiv 1904.09751). Greedy reports log-probs at temperature 1.
    """
    scaled_NV = logits_NV.float() / (sampling.temperature or 1.0)  # a copy of our own, changed in place below
    banned_N = scaled_NV[:, banned_B].logsumexp(-1)
    allowed_NV = scaled_NV.index_fill_(1, banned_B, -torch.inf)
    top_N1, best_N1 = allowed_NV.max(-1, keepdim=True)
    mass_NV = (allowed_NV - top_N1).exp_()
    # Banned ids count in the normalisation, as they do in the trainer's.
    total_N = torch.logaddexp(mass_NV.sum(-1).log() + top_N1[:, 0], banned_N)
    if sampling.temperature == 0:
        token_N1 = best_N1
    elif sampling.top_p < 1.0:
        kept_NC, id_NC = _nucleus(mass_NV, sampling.top_p)
        token_N1 = id_NC.gather(-1, _inverse_cdf(kept_NC, uniform_N))
    else:
        token_N1 = _inverse_cdf(mass_NV, uniform_N)
    return token_N1[:, 0], allowed_NV.gather(-1, token_N1)[:, 0] - total_N


def _nucleus(mass_NV: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The smallest set whose mass reaches `top_p` of the total, largest first, equal ones by id: mass f32[N, C] (zero
    behind the set) and ids i64[N, C].

    Sorting a vocabulary of 152k takes a CPU several times as long as finding its largest 1024, which nearly always
    hold the set; where they do not for some row, all are sorted. (On a GPU sorting is cheap, and asking is not.)
    """
    enough_N1 = top_p * mass_NV.sum(-1, keepdim=True)
    if mass_NV.shape[1] > 2 * _CANDIDATES and mass_NV.device.type == "cpu":
        largest_NC, id_NC = mass_NV.topk(_CANDIDATES, dim=-1)
        # Of several ids as large as the smallest candidate, some may have been left out: they must not be needed.
        surely_NC = largest_NC.masked_fill(largest_NC == largest_NC[:, -1:], 0.0)
        if bool((surely_NC.sum(-1, keepdim=True) >= enough_N1).all()):
            id_NC = id_NC.sort(dim=-1).values
            mass_NC, order_NC = mass_NV.gather(-1, id_NC).sort(dim=-1, descending=True, stable=True)
            return _cut(mass_NC, enough_N1), id_NC.gather(-1, order_NC)
    mass_NC, id_NC = mass_NV.sort(dim=-1, descending=True, stable=True)
    return _cut(mass_NC, enough_N1), id_NC


def _cut(mass_NC: Tensor, enough_N1: Tensor) -> Tensor:
    before_NC = mass_NC.cumsum(-1) - mass_NC
    return mass_NC.masked_fill_(before_NC >= enough_N1, 0.0)


def _inverse_cdf(mass_NC: Tensor, uniform_N: Tensor) -> Tensor:
    """Inverse-transform sampling from unnormalised mass: the first index [N, 1] whose cumulated mass exceeds u x total.

    In two steps, first the block of ids, then the id within it: adding up in float64 over a large vocabulary is what
    drawing costs, and sums of blocks take a small part of the time that running sums over all ids take.
    """
    candidates = mass_NC.shape[1]
    if candidates <= 2 * _BLOCK:
        return _first_above(mass_NC, uniform_N[:, None], share=True)[0]
    blocks_NKB = pad(mass_NC, (0, -candidates % _BLOCK)).unflatten(1, (-1, _BLOCK))
    block_N1, left_N1 = _first_above(blocks_NKB.sum(-1, dtype=torch.float64), uniform_N[:, None], share=True)
    mass_NB = blocks_NKB.gather(1, block_N1[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    return block_N1 * _BLOCK + _first_above(mass_NB, left_N1, share=False)[0]


def _first_above(mass_NC: Tensor, threshold_N1: Tensor, *, share: bool) -> tuple[Tensor, Tensor]:
    """The first index whose cumulated mass exceeds the threshold (`share`: a share of the total), and how much of the
    threshold is left in front of it."""
    cumulated_NC = mass_NC.double().cumsum(-1)
    if share:
        threshold_N1 = threshold_N1 * cumulated_NC[:, -1:]
    index_N1 = torch.searchsorted(cumulated_NC, threshold_N1, right=True)
    # u < 1, but u x total may round up to the total: stay on the last index that has mass.
    last_N1 = (cumulated_NC < cumulated_NC[:, -1:]).sum(-1, keepdim=True)
    index_N1 = torch.minimum(index_N1, last_N1)
    before_N1 = torch.where(index_N1 > 0, cumulated_NC.gather(-1, (index_N1 - 1).clamp(min=0)), 0.0)
    return index_N1, threshold_N1 - before_N1
