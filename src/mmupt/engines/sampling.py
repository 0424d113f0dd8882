"""Drawing tokens: counted randomness, one stream a rollout, whatever the batch looks like.

N rows that are still running, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmupt.engines.base import Sampling


def uniform_streams(seeds: Sequence[int], length: int) -> Tensor:
    """f64[N, length] of uniforms in [0, 1): row n depends on seeds[n] alone (Philox, a counter-based generator)."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds]
    return torch.from_numpy(np.stack(rows))


def draw(logits_NV: Tensor, uniform_N: Tensor, banned_V: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Next token i64[N] and its log-prob f32[N] under softmax(logits / temperature) over the whole vocabulary.

    `banned_V` bool[V] ids are never drawn. Top-p keeps the smallest set of tokens whose mass reaches `top_p`
    (arXiv 1904.09751). Greedy reports log-probs at temperature 1.
    """
    temperature = sampling.temperature or 1.0
    logprobs_NV = torch.log_softmax(logits_NV.float() / temperature, dim=-1)
    allowed_NV = logprobs_NV.masked_fill(banned_V, -torch.inf)
    if sampling.temperature == 0:
        token_N = allowed_NV.argmax(-1)
    else:
        token_N = _inverse_cdf(allowed_NV.exp(), uniform_N, sampling.top_p)
    return token_N, logprobs_NV.gather(-1, token_N[:, None])[:, 0]


def _inverse_cdf(mass_NV: Tensor, uniform_N: Tensor, top_p: float) -> Tensor:
    """Inverse-transform sampling from unnormalised mass; the first id whose cumulated mass exceeds u x total."""
    order_NV = None
    if top_p < 1.0:
        mass_NV, order_NV = mass_NV.sort(dim=-1, descending=True, stable=True)
        before_NV = mass_NV.cumsum(-1) - mass_NV
        mass_NV = mass_NV.masked_fill(before_NV >= top_p * mass_NV.sum(-1, keepdim=True), 0.0)
    cumulated_NV = mass_NV.double().cumsum(-1)
    threshold_N1 = (uniform_N * cumulated_NV[:, -1])[:, None]
    index_N1 = torch.searchsorted(cumulated_NV, threshold_N1, right=True)
    # u < 1, but u x total may round up to the total: stay on the last id that has mass.
    last_N1 = (cumulated_NV < cumulated_NV[:, -1:]).sum(-1, keepdim=True)
    index_N1 = torch.minimum(index_N1, last_N1)
    return (index_N1 if order_NV is None else order_NV.gather(-1, index_N1))[:, 0]
