"""What a probe has found, as one value: pure, from evidence alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmupt.guard.probe.advice import Advice, Band, advise, best_band
from mmupt.guard.probe.calibration import CALIBRATION, Calibration
from mmupt.guard.probe.estimate import Estimates, estimate
from mmupt.guard.probe.evidence import Evidence

BINS = 10


@dataclass(frozen=True, slots=True)
class ShareBin:
    """The prompts with a vote share in (low, high]; prompts without any answer stand in the first. `right` is how many
    of their majorities are estimated to be right, `gain` what learning from them adds to the predicted gain; None and 0
    where there are none."""

    low: float
    high: float
    prompts: int
    right: float | None
    gain: float


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Means over the prompts. `stability` is split-half agreement, `view` the part of samples on another view that give
    the majority answer and `view_kept` how often it stays the majority (over the `viewed` prompts, None without any);
    `undecided` is the share of prompts whose vote has no winner, `unanimous` of those where all answers agree."""

    evidence: tuple[Evidence, ...] = field(repr=False)
    estimates: Estimates = field(repr=False)
    share: float
    entropy: float
    unreadable: float
    undecided: float
    unanimous: float
    stability: float
    viewed: int
    view: float | None
    view_kept: float | None
    bins: tuple[ShareBin, ...]
    band: Band | None
    advice: Advice
    source: str

    def as_json(self) -> dict[str, Any]:
        """Plain values; `prompts` has one entry a prompt, in the order asked."""
        estimates = self.estimates
        return {
            "advice": self.advice.verdict,
            "set": self.advice.setting,
            "reasons": list(self.advice.reasons),
            "sample": estimates.sample.as_json(),
            "vote": estimates.vote.as_json(),
            "gain": {**estimates.gain.as_json(), "chance_above_zero": estimates.gain.chance_above_zero},
            "band": self.band.as_json() if self.band is not None else None,
            "share": self.share,
            "semantic_entropy": self.entropy,
            "unreadable": self.unreadable,
            "undecided": self.undecided,
            "unanimous": self.unanimous,
            "split_half_stability": self.stability,
            "view": {"prompts": self.viewed, "agreement": self.view, "majority_kept": self.view_kept},
            "histogram": [
                {"share": [b.low, b.high], "prompts": b.prompts, "right": b.right, "gain": b.gain} for b in self.bins
            ],
            "calibration": self.source,
            "prompts": [
                {
                    "id": e.prompt_id,
                    "share": e.share,
                    "margin": e.margin,
                    "stability": e.stability,
                    "view": e.view,
                    "right": float(right),
                    "gain": float(gain),
                }
                for e, right, gain in zip(self.evidence, estimates.right_N, estimates.gain_N, strict=True)
            ],
        }


def probe_report(evidence: Sequence[Evidence], calibration: Calibration = CALIBRATION, *, seed: int = 0) -> ProbeReport:
    """The report on N >= 1 prompts."""
    if not evidence:
        raise ValueError("a probe needs at least one prompt")
    estimates = estimate(evidence, calibration, seed=seed)
    band = best_band(evidence, estimates, calibration, seed=seed)
    looked = [(e.view, bool(e.view_kept)) for e in evidence if e.view is not None]
    return ProbeReport(
        evidence=tuple(evidence),
        estimates=estimates,
        share=_mean([e.share for e in evidence]),
        entropy=_mean([e.entropy for e in evidence]),
        unreadable=1.0 - _mean([e.readable for e in evidence]),
        undecided=_mean([float(not e.decided) for e in evidence]),
        unanimous=_mean([float(e.share > 0 and e.share == e.readable) for e in evidence]),
        stability=_mean([e.stability for e in evidence]),
        viewed=len(looked),
        view=_mean([view for view, _ in looked]) if looked else None,
        view_kept=_mean([float(kept) for _, kept in looked]) if looked else None,
        bins=_bins(evidence, estimates),
        band=band,
        advice=advise(evidence, estimates, band),
        source=calibration.source,
    )


def _bins(evidence: Sequence[Evidence], estimates: Estimates) -> tuple[ShareBin, ...]:
    # Shares are multiples of 1/G: a little slack, so that 3/10 falls on the same side whatever its last bit.
    place_N = np.clip(np.ceil(np.array([e.share for e in evidence]) * BINS - 1e-9) - 1, 0, BINS - 1)
    bins = []
    for place in range(BINS):
        here_N = place_N == place
        right = float(estimates.right_N[here_N].mean()) if here_N.any() else None
        gain = float(estimates.gain_N[here_N].sum()) / len(evidence)
        bins.append(ShareBin(place / BINS, (place + 1) / BINS, int(here_N.sum()), right, gain))
    return tuple(bins)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
