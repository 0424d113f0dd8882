"""`[reward]`: what a rollout earns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings


class RewardSettings(Settings):
    """`quorum` is the least share of the group that must give a readable answer for the vote to count.

    In a recipe, a stage that names no reward gets the one of its kind: `rl` "ground_truth", `upt` "majority_vote".
    """

    name: Literal["majority_vote", "ground_truth"] = "majority_vote"
    ties: Literal["none", "first", "random"] = "none"
    quorum: float = Field(default=0.0, ge=0, le=1)
