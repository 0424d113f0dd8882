"""The numbers that turn what a model says of itself into what is likely to be right. `benchmarks/probe.py --fit` prints
them anew."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Logistic:
    """Log-odds that a prompt's majority answer is right: a weight for each number of its evidence, and one for the mean
    share of the whole data set, which says how able the model is at this kind of question. `view` is 0 where no view
    was looked at."""

    intercept: float
    share: float
    margin: float
    stability: float
    mean_share: float
    view: float = 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of what the estimates of a whole data set were wrong by, on data they had not seen."""

    sample: float
    vote: float
    gain: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`plain` for prompts without a view, `viewed` for those with one. `lucky` is the chance that an answer outside the
    majority is right where the majority is wrong. `closure` is the part of the distance between one sample and the vote
    that a run closes. `harm` is what a run loses in accuracy where all labels are wrong, beside what the vote itself
    takes away: wrong labels teach something about other questions too. `source` says what all this was fitted on."""

    plain: Logistic
    viewed: Logistic
    lucky: float
    closure: float
    harm: float
    spread: Spread
    source: str


CALIBRATION = Calibration(
    plain=Logistic(intercept=-3.5, share=3.4, margin=1.7, stability=0.8, mean_share=3.5),
    viewed=Logistic(intercept=-3.6, share=2.1, margin=1.4, stability=0.6, mean_share=3.2, view=3.0),
    lucky=0.25,
    closure=0.7,
    harm=0.05,
    spread=Spread(sample=0.05, vote=0.1, gain=0.05),
    source="set by hand, in sight of three tiny models in the offline world",
)
"""What `mmupt probe` uses."""
