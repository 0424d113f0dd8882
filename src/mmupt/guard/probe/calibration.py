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
    plain=Logistic(intercept=-4.74, share=5.17, margin=1.09, stability=1.29, mean_share=4.68),
    viewed=Logistic(intercept=-4.33, share=1.92, margin=1.04, stability=1.36, mean_share=3.82, view=4.16),
    lucky=0.21,
    closure=0.95,
    harm=0.09,
    spread=Spread(sample=0.05, vote=0.1, gain=0.05),
    source="24 starts of one tiny model in the offline world, from hopeless to easy, 150 steps each",
)
"""What `mmupt probe` uses. The spreads are twice and more what the fit found (0.016, 0.043, 0.027): a user's model and
data lie farther from these pairs than they lie from each other."""
