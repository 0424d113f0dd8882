"""`[guard]`: what a label-free stage watches, and what it does when it sees something."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmupt.settings import Settings

Action = Literal["warn", "slow", "freeze", "refresh", "rollback", "stop"]


class GuardSettings(Settings):
    """The guard of an `upt` stage; `enabled = false` switches all of it off.

    `watch` prompts are kept out of training (at most a tenth of the pool). The stage's start model answers each of them
    `watch_samples` times before the first step, and the model of the moment again every `every` steps, on the same
    random numbers. Those on which the start was nearly unanimous (a share of at least `anchor_share`) are the anchors.

    `gate` lets the start's answers decide whether training begins at all. `actions` are what the guard may do; what is
    not listed is said and not done. A signal must be out of bounds `patience` measurements in a row before anything
    but a warning follows. `margin` is how much of the anchors' agreement may be lost, and how much of the best
    label-free score, beyond what chance explains. `slow_factor` is what "slow" multiplies the learning rate by (and
    divides the KL coefficient by). `refresh_every` steps without trouble let start_vote ask the newest model
    ("refresh", 0 for never).

    `follows` names an earlier stage whose guard this one carries on: the same watched prompts, held against the start
    of that stage and the best model so far. Where that stage was ended by its guard, this one does not begin. The
    rounds of a `[loop]` follow each other by themselves.
    """

    enabled: bool = True
    watch: int = Field(default=64, ge=0)
    watch_samples: int = Field(default=8, ge=2)
    every: int = Field(default=10, ge=1)
    anchor_share: float = Field(default=0.9, gt=0.5, le=1)
    gate: bool = True
    actions: tuple[Action, ...] = Field(default=("warn", "slow", "freeze", "rollback", "stop"), strict=False)
    patience: int = Field(default=2, ge=1)
    margin: float = Field(default=0.05, gt=0, lt=1)
    slow_factor: float = Field(default=0.5, gt=0, lt=1)
    refresh_every: int = Field(default=0, ge=0)
    follows: str | None = None

    @model_validator(mode="after")
    def _sensible(self) -> GuardSettings:
        if self.refresh_every and "refresh" not in self.actions:
            raise ValueError('refresh_every does nothing without "refresh" among the actions; add it')
        if len(set(self.actions)) < len(self.actions):
            raise ValueError("actions names one of them twice; name each once")
        return self


class SelectionSettings(Settings):
    """`[select]`: which groups are learned from. `share` is the band of vote shares to keep, ends included (of the
    teacher's vote where the reward has a teacher); `drop_unanimous` leaves out groups whose readable answers all agree;
    a prompt is learned from at most `max_visits` times (0: without end); `flip_weight` multiplies a group's advantages
    by one minus the share of visits at which the prompt's majority answer has changed (TTRL-Guard, arXiv 2605.19444).
    """

    share: tuple[float, float] = Field(default=(0.0, 1.0), strict=False)
    drop_unanimous: bool = False
    max_visits: int = Field(default=0, ge=0)
    flip_weight: bool = False

    @model_validator(mode="after")
    def _band(self) -> SelectionSettings:
        if not 0 <= self.share[0] < self.share[1] <= 1:
            raise ValueError(f"share = [{self.share[0]}, {self.share[1]}] must rise and lie between 0 and 1")
        return self
