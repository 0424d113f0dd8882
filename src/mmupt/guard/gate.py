"""Whether a stage should begin at all, from what its start model answers to the watched prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmupt.guard.bounds import SURE
from mmupt.guard.watch import Measurement
from mmupt.rewards.teacher import Label

LEAST_SHARE = 0.35
MOST_UNREADABLE = 0.5


def features(labels: Mapping[str, Label], start: Measurement) -> dict[str, float]:
    """What the start says of itself, no labels of anybody else: means over the watched prompts.

    `share`: of the largest cluster of answers. `unreadable`: of answers that cannot be read. `sure`: of prompts with a
    majority of at least half of the samples. `stable`: of prompts whose majority answer is the same in two independent
    draws. `agrees`: of answers in the second draw that are the majority of the first.
    """
    asked = [(labels[prompt_id], answered) for prompt_id, answered in start.prompts.items()]
    return {
        "share": _mean([label.share for label, _ in asked]),
        "unreadable": _mean([answered.unreadable for _, answered in asked]),
        "sure": _mean([float(label.answer is not None and label.share >= SURE) for label, _ in asked]),
        "stable": _mean([float(answered.kept) for _, answered in asked]),
        "agrees": _mean([answered.agrees for _, answered in asked]),
    }


def shut_reason(found: Mapping[str, float]) -> str | None:
    """Why training should not begin, or None. Where a model's answers scatter, its majority is mostly wrong, and
    training toward it makes the model worse (MM-UPT on ThinkLite-11K: 49.5 to 44.1)."""
    if found["unreadable"] > MOST_UNREADABLE:
        return (
            f"{found['unreadable']:.0%} of the start model's answers cannot be read (more than {MOST_UNREADABLE:.0%})"
        )
    if found["share"] < LEAST_SHARE:
        return (
            f"the start model's largest group of equal answers holds {found['share']:.0%} of them on average "
            f"(less than {LEAST_SHARE:.0%}), so its majority is likely to be wrong"
        )
    return None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
