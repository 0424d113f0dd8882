"""What training groups say about themselves from step to step, against the first steps of the stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmupt.guard.signals import Answers, answer_shares, jump, pooled, repetition, top_answer, total_variation
from mmupt.types import GroupScore, RolloutGroup

START_STEPS = 5
"""The first values of a signal are its start."""
JUMP_OVER = 10
"""A jump of the majority share is measured against so many steps before it ..."""
JUMP_SDS = 4.0
"""... and is one only above so many of their standard deviations."""

RECORDED = (
    "share", "semantic_entropy", "zero_signal_groups", "unreadable", "truncated", "length", "entropy", "kl", "flips",
)  # fmt: skip
"""Signals that a step's metrics hold already."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A signal now against its start: its mean (a jump: its largest) over the steps looked at, and the standard error
    of the difference, from how much the start differs in itself: `freedom` of its degrees."""

    value: float
    start: float
    error: float
    freedom: int


@dataclass(slots=True)
class Trends:
    """`starts` has the first START_STEPS values of each signal, `since` those after them that no measurement has looked
    at yet, `first_answers` the answers across the prompts of each of the first steps."""

    starts: dict[str, list[float]] = field(default_factory=dict)
    since: dict[str, list[float]] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)
    first_answers: list[Answers] = field(default_factory=list)

    def add(
        self, groups: Sequence[RolloutGroup], scores: Sequence[GroupScore], record: Mapping[str, float]
    ) -> dict[str, float]:
        """Takes note of a step; returns what its metrics do not hold yet."""
        answers = pooled(
            answer_shares(score.vote, group.prompt.choices) for group, score in zip(groups, scores, strict=True)
        )
        responses = [rollout.token_ids for group in groups for rollout in group.rollouts]
        rise, deviations = jump(self.shares, record["share"])
        self.shares = [*self.shares, record["share"]][-JUMP_OVER:]
        fields = {
            "repetition": math.fsum(map(repetition, responses)) / len(responses),
            "top_answer": top_answer(answers)[1],
            "share_jump": rise,
            "share_jump_sds": deviations,
        }
        if (moved := self._moved(answers)) is not None:
            fields["answers_moved"] = moved
        values = {name: record[name] for name in RECORDED if name in record}
        if values.get("entropy") == 0:
            del values["entropy"]  # nothing was forwarded, so nothing was measured
        values |= {name: fields[name] for name in ("repetition", "top_answer", "answers_moved") if name in fields}
        values["share_jump"] = rise if deviations >= JUMP_SDS else 0.0
        for name, value in values.items():
            start = self.starts.setdefault(name, [])
            (start if len(start) < START_STEPS else self.since.setdefault(name, [])).append(value)
        return fields

    def since_measured(self) -> dict[str, Trend]:
        """Each signal over all steps since the last measurement."""
        return {name: self._trend(name, values) for name, values in self.since.items() if values}

    def last_step(self) -> dict[str, Trend]:
        """Each signal at the newest step alone."""
        return {name: self._trend(name, values[-1:]) for name, values in self.since.items() if values}

    def measured(self) -> None:
        """The steps so far have been looked at."""
        self.since = {}

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(state: Mapping[str, Any]) -> Trends:
        return Trends(**state)

    def _trend(self, name: str, values: Sequence[float]) -> Trend:
        start = self.starts[name]
        mean = math.fsum(start) / len(start)
        variance = math.fsum((x - mean) ** 2 for x in start) / (len(start) - 1)
        value = max(values) if name == "share_jump" else math.fsum(values) / len(values)
        return Trend(value, mean, math.sqrt(variance * (1 / len(start) + 1 / len(values))), len(start) - 1)

    def _moved(self, answers: Answers) -> float | None:
        """How far the answers are from those of the first steps together; None in the first steps. Other prompts give
        other answers: how much that alone makes is what each of the first steps is away from its fellows."""
        if len(self.first_answers) == START_STEPS:
            return total_variation(answers, pooled(self.first_answers))
        self.first_answers.append(answers)
        if len(self.first_answers) == START_STEPS:
            self.starts["answers_moved"] = [
                total_variation(mine, pooled(self.first_answers[:i] + self.first_answers[i + 1 :]))
                for i, mine in enumerate(self.first_answers)
            ]
        return None
