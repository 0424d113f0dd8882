"""Group advantages: how much better a rollout did than its siblings. rewards_G f32[G] in, f32[G] out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_EPS = 1e-6


def group_advantage(rewards_G: Tensor, kind: Literal["std", "mean", "leave_one_out"]) -> Tensor:
    """Advantages of one group.

    "std"            (r - mean) / (std + 1e-6), GRPO (arXiv 2402.03300, eq. 3), std with G - 1 as in the authors' code
    "mean"           r - mean, Dr. GRPO (arXiv 2503.20783)
    "leave_one_out"  r_i - mean of the others, RLOO (arXiv 2402.14740)

    A group whose rewards are all equal has advantages of exactly zero.

    >>> group_advantage(torch.tensor([1.0, 0.0, 0.0, 1.0]), "mean").tolist()
    [0.5, -0.5, -0.5, 0.5]
    """
    if bool((rewards_G == rewards_G[0]).all()):
        return torch.zeros_like(rewards_G)  # a mean of equal floats may differ from them in the last bit
    centred_G = rewards_G - rewards_G.mean()
    if kind == "std":
        return centred_G / (rewards_G.std() + _EPS)
    if kind == "mean":
        return centred_G
    return centred_G * (rewards_G.shape[0] / (rewards_G.shape[0] - 1))
