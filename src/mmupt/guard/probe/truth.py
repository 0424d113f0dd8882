"""What labels say of a probe that was made without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmupt.answers.equivalence import grade
from mmupt.answers.scoring import majority_correct
from mmupt.answers.settings import AnswerSettings
from mmupt.guard.probe.asking import Probed
from mmupt.guard.probe.report import ProbeReport
from mmupt.types import LabeledPrompt

BINS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """The truth about one prompt: the part of its samples that are right, and whether its vote is (a tie by the part of
    the tied clusters that are)."""

    sample: float
    vote: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The prompts whose majority was said to be right with a probability in [low, high): what was `said` on average,
    and how many `were`."""

    low: float
    high: float
    prompts: int
    said: float | None
    were: float | None


@dataclass(frozen=True, slots=True)
class Truth:
    """`sample` and `vote` are true accuracies of the start on the `prompts` with a label, `room` is what a run that
    reached the vote exactly would gain. `brier` is the mean squared error of the probabilities, `brier_constant` that
    of saying the true rate each time."""

    prompts: int
    sample: float
    vote: float
    brier: float
    brier_constant: float
    reliability: tuple[ReliabilityBin, ...]

    @property
    def room(self) -> float:
        return self.vote - self.sample

    def as_json(self) -> dict[str, Any]:
        return {
            "prompts": self.prompts,
            "sample": self.sample,
            "vote": self.vote,
            "room": self.room,
            "brier": self.brier,
            "brier_constant": self.brier_constant,
            "reliability": [
                {"said_between": [b.low, b.high], "prompts": b.prompts, "said": b.said, "were": b.were}
                for b in self.reliability
            ],
        }


def known(probed: Probed, label: LabeledPrompt, answers: AnswerSettings) -> Known:
    """Graded as the reward `ground_truth` grades."""

    def right(answer: str | None) -> bool:
        choices, tolerance = probed.prompt.choices, answers.tolerance
        return grade(answer, label.answer, choices=choices, unit=label.unit, tolerance=tolerance)

    graded = [right(answer) for answer in probed.vote.answers]
    return Known(sum(graded) / len(graded), majority_correct(probed.vote, right))


def truth(
    report: ProbeReport, asked: Sequence[Probed], labels: Mapping[str, LabeledPrompt], answers: AnswerSettings
) -> Truth | None:
    """The truth about `report`, made of `asked`, in the same order; None where no prompt of it has a label."""
    pairs = [
        (float(right), known(probed, labels[probed.prompt.id], answers))
        for probed, right in zip(asked, report.estimates.right_N, strict=True)
        if probed.prompt.id in labels
    ]
    if not pairs:
        return None
    said_N = np.array([said for said, _ in pairs])
    were_N = np.array([found.vote for _, found in pairs])
    return Truth(
        prompts=len(pairs),
        sample=float(np.mean([found.sample for _, found in pairs])),
        vote=float(were_N.mean()),
        brier=float(np.mean((said_N - were_N) ** 2)),
        brier_constant=float(np.mean((were_N.mean() - were_N) ** 2)),
        reliability=_reliability(said_N, were_N),
    )


def _reliability(said_N: NDArray[np.float64], were_N: NDArray[np.float64]) -> tuple[ReliabilityBin, ...]:
    place_N = np.minimum((said_N * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        here_N = place_N == place
        some = bool(here_N.any())
        bins.append(
            ReliabilityBin(
                low=place / BINS,
                high=(place + 1) / BINS,
                prompts=int(here_N.sum()),
                said=float(said_N[here_N].mean()) if some else None,
                were=float(were_N[here_N].mean()) if some else None,
            )
        )
    return tuple(bins)
