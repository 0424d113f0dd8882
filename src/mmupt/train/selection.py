"""Which of a step's groups are learned from, and how much: counted, never silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmupt.guard.memory import PromptMemory
from mmupt.guard.settings import SelectionSettings
from mmupt.types import GroupScore, RolloutGroup


@dataclass(frozen=True, slots=True)
class Selection:
    """`weights` has one number a group in [0, 1], 0 for those left out; `reasons` counts why they were."""

    weights: tuple[float, ...]
    reasons: Counter[str] = field(default_factory=Counter)


def select(
    settings: SelectionSettings,
    groups: Sequence[RolloutGroup],
    scores: Sequence[GroupScore],
    memory: PromptMemory,
) -> Selection:
    """The first reason that applies to a group is the one that counts."""
    weights: list[float] = []
    reasons: Counter[str] = Counter()
    for group, score in zip(groups, scores, strict=True):
        reason = score.set_aside or (_reason(settings, group, score) if group.role == "answer" else None)
        if reason is not None:
            reasons[reason] += 1
            weights.append(0.0)
        else:
            weights.append(1.0 - memory.flip_rate(group.belongs_to) if settings.flip_weight else 1.0)
    return Selection(tuple(weights), reasons)


def _reason(settings: SelectionSettings, group: RolloutGroup, score: GroupScore) -> str | None:
    share = score.components["teacher_share"][0] if "teacher_share" in score.components else score.vote.share
    if share < settings.share[0]:
        return "share below the band"
    if share > settings.share[1]:
        return "share above the band"
    if settings.drop_unanimous and len(score.vote.clusters) == 1:
        return "unanimous"
    if settings.max_visits and group.visit >= settings.max_visits:
        return "visited often enough"
    return None
