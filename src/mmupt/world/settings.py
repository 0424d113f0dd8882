"""`[world]`: the offline world."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings

Split = Literal["sft", "rl", "unlabeled", "test"]
MixName = Literal[
    "dice",
    "dice_skills",
    "dice_sums",
    "dice_hard",
    "dice_some_hard",
    "charts",
    "icons",
    "dice_charts_icons",
    "full",
    "medium",
]


class WorldSettings(Settings):
    """`wrong_readings` is the probability that a training chain misreads one thing it looks at. `seed` draws the
    pictures; splits never share one, whatever their seeds and sizes.

    `mix` says what is asked about what: "dice" has four questions about dice and fits a demo of minutes;
    "dice_skills" adds asking, describing and verifying; "full" is every small picture kind, every question and every
    skill; "medium" the same of the larger, busier kinds. "dice_sums" asks for totals alone, "dice_hard" for other
    things about dice, and "dice_some_hard" is "dice" with a few of those; "charts" and "icons" are other families of
    pictures, and "dice_charts_icons" is all three. Every split follows `mix`, except where a path names another:
    `world:unlabeled@dice_hard`. The tokenizer of a world's model is made from the words of `mix`.
    """

    mix: MixName = "dice"
    seed: int = Field(default=0, ge=0)
    wrong_readings: float = Field(default=0.15, ge=0, lt=1)
    sft_size: int = Field(default=10_000, ge=1)
    rl_size: int = Field(default=1_000, ge=1)
    unlabeled_size: int = Field(default=2_000, ge=1)
    test_size: int = Field(default=300, ge=1)
