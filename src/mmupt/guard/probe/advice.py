"""From estimates to a recommendation, with its reasons in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmupt.guard.probe.calibration import Calibration
from mmupt.guard.probe.estimate import Estimates, Predicted, estimate
from mmupt.guard.probe.evidence import Evidence

Verdict = Literal["go", "go with a band", "don't"]

WORTH = 0.01
"""A run should promise a point."""
SURE = 0.8
"""The least probability that the gain is above zero."""
MOST_UNREADABLE = 0.5
BETTER = 0.005
"""What a band must add to the gain to be worth its setting."""
FEWEST = 0.1
"""The least part of the prompts that a band must keep."""
_STEPS = tuple(round(0.05 * k, 2) for k in range(1, 20))


@dataclass(frozen=True, slots=True)
class Band:
    """Vote shares from `least` to 1: `kept` of the prompts (a part of all), of whose majorities `right` are estimated
    to be right, and what learning from these alone is predicted to gain."""

    least: float
    kept: float
    right: float
    gain: Predicted

    @property
    def setting(self) -> str:
        return f"select.share=[{self.least:g},1.0]"

    def as_json(self) -> dict[str, Any]:
        return {"share": [self.least, 1.0], "kept": self.kept, "right": self.right, "gain": self.gain.as_json()}


@dataclass(frozen=True, slots=True)
class Advice:
    """`setting` is what to give with --set, where a band is recommended."""

    verdict: Verdict
    reasons: tuple[str, ...]
    setting: str | None = None


def best_band(
    evidence: Sequence[Evidence], estimates: Estimates, calibration: Calibration, *, seed: int = 0
) -> Band | None:
    """The least share from which on learning gains most, where prompts below it are predicted to do harm: at least
    `BETTER` together. None where they do not, or where less than a tenth of the prompts would be left."""
    share_N = np.array([e.share for e in evidence])
    cuts = [cut for cut in _STEPS if (share_N >= cut).mean() >= FEWEST]
    least = max((0.0, *cuts), key=lambda cut: (float(estimates.gain_N[share_N >= cut].sum()), -cut))
    kept_N = share_N >= least
    gain = estimate(evidence, calibration, least_share=least, seed=seed).gain
    if gain.value - estimates.gain.value < BETTER:
        return None
    return Band(least, float(kept_N.mean()), float(estimates.right_N[kept_N].mean()), gain)


def advise(evidence: Sequence[Evidence], estimates: Estimates, band: Band | None) -> Advice:
    """The recommendation for N >= 1 prompts."""
    unreadable = 1.0 - sum(e.readable for e in evidence) / len(evidence)
    sample, vote, gain = estimates.sample, estimates.vote, estimates.gain
    size = round(sum(e.size for e in evidence) / len(evidence))
    if unreadable > MOST_UNREADABLE:
        return Advice(
            "don't",
            (
                f"{unreadable:.0%} of the answers cannot be read, so votes are about the few that can; look at "
                "answers.extract, prompt.suffix and rollout.max_new_tokens, for small pictures at prompt.min_pixels, "
                "or train the model to answer first",
            ),
        )
    reasons = [
        f"one sample is estimated to be right on {sample.value:.0%} of the prompts, the vote of {size} on "
        f"{vote.value:.0%}: training toward the vote is predicted to change accuracy by {_points(gain)}"
    ]
    if band is not None and _promising(band.gain):
        reasons.append(
            f"{1 - band.kept:.0%} of the prompts have a vote share below {band.least:g}, and their majorities are too "
            f"often wrong; {band.right:.0%} of the others' are estimated to be right, and learning from these alone is "
            f"predicted to change accuracy by {_points(band.gain)}"
        )
        return Advice("go with a band", tuple(reasons), band.setting)
    if _promising(gain):
        reasons.append(f"that it rises at all has a probability of {gain.chance_above_zero:.0%}")
        return Advice("go", tuple(reasons))
    return Advice("don't", (*reasons, *_against(evidence, estimates)))


def _promising(gain: Predicted) -> bool:
    return gain.value >= WORTH and gain.chance_above_zero >= SURE


def _against(evidence: Sequence[Evidence], estimates: Estimates) -> list[str]:
    """Why not."""
    gain, vote = estimates.gain, estimates.vote
    share = sum(e.share for e in evidence) / len(evidence)
    reasons = []
    if vote.value < 0.5:
        reasons.append(
            f"most majorities are estimated to be wrong ({vote.value:.0%} right), and training sharpens what the model "
            "believes, errors too"
        )
    if gain.value < WORTH:
        reasons.append(
            f"the answers agree so much already (mean share {share:.0%}) that there is little to learn from the vote"
            if share > 0.9
            else f"a gain of less than {100 * WORTH:g} point is not worth the risk of a run"
        )
    elif gain.chance_above_zero < SURE:
        reasons.append(
            f"that accuracy rises at all has a probability of {gain.chance_above_zero:.0%} only (less than {SURE:.0%})"
        )
    return reasons


def _points(predicted: Predicted) -> str:
    value, low, high = (100 * x for x in (predicted.value, predicted.low, predicted.high))
    return f"{value:+.1f} points (95 %: {low:+.1f} to {high:+.1f})"
