"""Every signal of the guard, its bound, and whether anything follows from it (the table of docs/guard.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmupt.guard.settings import GuardSettings
from mmupt.guard.signals import Change, paired_change, pooled, student, top_answer, total_variation
from mmupt.guard.trends import Trend
from mmupt.guard.watch import Measurement
from mmupt.rewards.teacher import Label

FEWEST_SCORED = 5
"""A mean over fewer prompts decides nothing."""
SURE = 0.5
"""The score is over prompts on which at least this share of the start's samples agreed."""
ERRORS = 3.0
"""A change counts beyond so many standard errors (with few prompts: beyond what Student's t makes of them). A run is
looked at some fifteen times, always against the one start, whose own luck is in every comparison: with 2, patience or
not, one run in eight in which nothing happens is rolled back, with 3 one in fifty (the course `flat` of
tests/guard/test_guard.py, 100 seeds)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Out of bounds where it has risen (or with `falls`, fallen) from its start by more than `margin` (None: that of
    the settings; with `relative`, a share of the start) and by more than ERRORS standard errors. It `acts`, or is only
    told. A rise by `collapse`, or a fall below `collapse` times the start, is a collapse: no patience is had with it.
    """

    name: str
    says: str
    source: Literal["watch", "groups"]
    value: str
    """The key of the value among the figures of a measurement, or among those of the training groups."""
    falls: bool = False
    margin: float | None = None
    relative: bool = False
    acts: bool = False
    collapse: float | None = None


SCORE = "score"
"""The one signal that is held against the best measurement so far instead of the start."""

SIGNALS: tuple[Signal, ...] = (
    Signal(SCORE, "the label-free score", "watch", "score", falls=True, acts=True),
    Signal("anchor_agreement", "the agreement with the start on its anchors", "watch", "anchor_agreement",
           falls=True, acts=True, collapse=0.5),
    Signal("anchor_majority", "the share of anchors whose majority answer is still the start's", "watch",
           "anchor_majority", falls=True, margin=0.2),
    Signal("watch_top_answer", "the share of one answer across all watched prompts", "watch", "watch_top_answer",
           margin=0.2, acts=True, collapse=0.5),
    Signal("watch_answers_moved", "the distance of all watched answers from the start's", "watch",
           "watch_answers_moved", margin=0.3),
    Signal("watch_unreadable", "the share of watched answers that cannot be read", "watch", "watch_unreadable",
           margin=0.1, acts=True, collapse=0.5),
    Signal("effective_rank", "the effective rank of hidden states", "watch", "effective_rank",
           falls=True, margin=0.5, relative=True),
    Signal("top_answer", "the share of one answer across all prompts of a step", "groups", "top_answer",
           margin=0.2, acts=True, collapse=0.5),
    Signal("answers_moved", "the distance of a step's answers from the first steps'", "groups", "answers_moved",
           margin=0.3),
    Signal("unreadable", "the share of answers that cannot be read", "groups", "unreadable",
           margin=0.1, acts=True, collapse=0.5),
    Signal("truncated", "the share of responses cut off at their length limit", "groups", "truncated",
           margin=0.2, acts=True),
    Signal("repetition", "the share of repeated 4-grams in a response", "groups", "repetition",
           margin=0.1, acts=True),
    Signal("share_jump", "a jump of the majority share from one step to the next", "groups", "share_jump", margin=0.2),
    Signal("semantic_entropy", "the semantic entropy of groups", "groups", "semantic_entropy",
           falls=True, margin=0.9, relative=True),
    Signal("zero_signal_groups", "the share of groups that teach nothing", "groups", "zero_signal_groups", margin=0.4),
    Signal("flips", "the share of prompts whose majority answer has changed since their last visit", "groups",
           "flips", margin=0.2),
    Signal("longer", "the length of responses", "groups", "length", margin=1.0, relative=True),
    Signal("shorter", "the length of responses", "groups", "length", falls=True, margin=0.5, relative=True),
    Signal("entropy_low", "the token entropy", "groups", "entropy", falls=True, margin=0.75, relative=True),
    Signal("entropy_high", "the token entropy", "groups", "entropy", margin=1.0, relative=True),
    Signal("kl", "the KL divergence from the start model a token", "groups", "kl", margin=0.5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """A signal held against its bound. `start` is what it is compared with: the score's is the best so far."""

    signal: Signal
    value: float
    start: float
    bound: float
    out: bool
    collapsed: bool


def read(signal: Signal, trend: Trend, settings: GuardSettings) -> Reading:
    """Whether a value is out of its bound."""
    margin = settings.margin if signal.margin is None else signal.margin
    noise = student(ERRORS, trend.freedom) * trend.error
    sign = -1.0 if signal.falls else 1.0
    bound = trend.start + sign * max(margin * (trend.start if signal.relative else 1.0), noise)
    collapsed = False
    if signal.collapse is not None and abs(trend.value - trend.start) > noise:
        limit = signal.collapse * trend.start if signal.falls else trend.start + signal.collapse
        collapsed = sign * (trend.value - limit) > 0
    return Reading(signal, trend.value, trend.start, bound, sign * (trend.value - bound) > 0, collapsed)


def read_groups(trends: Mapping[str, Trend], settings: GuardSettings) -> list[Reading]:
    """The signals of the training groups, as far as they are known."""
    return [read(s, trends[s.value], settings) for s in SIGNALS if s.source == "groups" and s.value in trends]


def read_watch(
    labels: Mapping[str, Label], start: Measurement, best: Measurement, now: Measurement, settings: GuardSettings
) -> list[Reading]:
    """The signals of the watch set, as far as enough prompts stand behind them."""
    trends: dict[str, Trend] = {}
    for name, before, ids in (
        (SCORE, best, scored(labels, best, now)),
        ("anchor_agreement", start, anchors(labels, settings, start, now)),
    ):
        if len(ids) >= FEWEST_SCORED:
            trends[name] = _weighted(labels, ids, before, now)
    common = [i for i in start.prompts if i in now.prompts]
    if len(common) >= FEWEST_SCORED:
        first, last = figures(labels, start, start, settings), figures(labels, start, now, settings)
        top = top_answer(pooled(now.prompts[i].answers for i in common))[0]
        changes: dict[str, Change | None] = {
            "watch_top_answer": _change([(start.prompts[i].answers.get(top, 0.0), now.prompts[i].answers.get(top, 0.0))
                                        for i in common]),
            "watch_unreadable": _change([(start.prompts[i].unreadable, now.prompts[i].unreadable) for i in common]),
            "anchor_majority": _change([(float(start.prompts[i].kept), float(now.prompts[i].kept))
                                       for i in anchors(labels, settings, start, now)]),
        }  # fmt: skip
        for name, value in last.items():
            if name not in trends and name in first:
                change = changes.get(name)
                error, freedom = (change.error, change.freedom) if change is not None else (0.0, 1)
                trends[name] = Trend(value, first[name], error, freedom)
    return [read(s, trends[s.value], settings) for s in SIGNALS if s.source == "watch" and s.value in trends]


def better(labels: Mapping[str, Label], best: Measurement, now: Measurement) -> bool:
    """Whether the score is above the best one by more than a standard error."""
    ids = scored(labels, best, now)
    if len(ids) < FEWEST_SCORED:
        return False
    trend = _weighted(labels, ids, best, now)
    return trend.value - trend.start > trend.error


def figures(
    labels: Mapping[str, Label], start: Measurement, now: Measurement, settings: GuardSettings
) -> dict[str, float]:
    """The numbers of a measurement. What too few prompts stand behind has no key."""
    answers = pooled(answered.answers for answered in now.prompts.values())
    count = len(now.prompts)
    found = {
        "watch_share": sum(answered.share for answered in now.prompts.values()) / count,
        "watch_top_answer": top_answer(answers)[1],
        "watch_answers_moved": total_variation(answers, pooled(a.answers for a in start.prompts.values())),
        "watch_unreadable": sum(answered.unreadable for answered in now.prompts.values()) / count,
    }
    sure, surest = scored(labels, now), anchors(labels, settings, now)
    if len(sure) >= FEWEST_SCORED:
        found[SCORE] = _agreement(labels, sure, now)
    if len(surest) >= FEWEST_SCORED:
        found["anchor_agreement"] = _agreement(labels, surest, now)
        found["anchor_majority"] = sum(now.prompts[i].kept for i in surest) / len(surest)
    if now.rank is not None:
        found["effective_rank"] = now.rank
    return found


def scored(labels: Mapping[str, Label], *measured: Measurement) -> list[str]:
    """The prompts behind the score that were asked at all these measurements."""
    return _at_least(SURE, labels, measured)


def anchors(labels: Mapping[str, Label], settings: GuardSettings, *measured: Measurement) -> list[str]:
    """The prompts on which the start was nearly unanimous."""
    return _at_least(settings.anchor_share, labels, measured)


def _at_least(share: float, labels: Mapping[str, Label], measured: Sequence[Measurement]) -> list[str]:
    return [
        prompt_id
        for prompt_id, label in labels.items()
        if label.answer is not None and label.share >= share and all(prompt_id in m.prompts for m in measured)
    ]


def _agreement(labels: Mapping[str, Label], ids: Sequence[str], now: Measurement) -> float:
    """The mean share of answers that are the start's majority, weighed by how sure the start was."""
    return sum(labels[i].share * now.prompts[i].agrees for i in ids) / sum(labels[i].share for i in ids)


def _weighted(labels: Mapping[str, Label], ids: Sequence[str], before: Measurement, now: Measurement) -> Trend:
    change = paired_change(
        [before.prompts[i].agrees for i in ids],
        [now.prompts[i].agrees for i in ids],
        [labels[i].share for i in ids],
    )
    assert change is not None
    return Trend(_agreement(labels, ids, now), _agreement(labels, ids, before), change.error, change.freedom)


def _change(pairs: Sequence[tuple[float, float]]) -> Change | None:
    return paired_change([before for before, _ in pairs], [after for _, after in pairs])
