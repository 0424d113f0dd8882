"""The vote of a group: its answers, clustered by what they say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from mmupt.answers.equivalence import canonical, within
from mmupt.answers.keys import Key, numeric
from mmupt.types import Cluster, Vote

Ties = Literal["none", "first", "random"]


def vote(
    answers: Sequence[str | None],
    *,
    choices: Sequence[str] | None = None,
    tolerance: float = 0.0,
    ties: Ties = "none",
    quorum: float = 0.0,
    seed: int = 0,
) -> Vote:
    """Cluster the answers of a group of size G and find the winner.

    None (an answer that could not be read) never votes, yet counts in G. Among equally large clusters nobody wins
    ("none"), the one with the earliest rollout does ("first"), or one drawn from `random.Random(seed)` ("random").
    There is no winner either where less than `quorum` of the G answers could be read.

    With `tolerance` numbers are clustered by single linkage on the number line: sorted, a gap wider than the relative
    tolerance starts a new cluster. That depends on the set of answers only, never on their order; two members of a
    cluster may lie further apart than the tolerance when others lie between them.
    """
    keys = {i: canonical(a, choices=choices) for i, a in enumerate(answers) if a is not None}
    representative = _linked(set(keys.values()), tolerance) if tolerance > 0 else {}
    members: dict[Key, list[int]] = {}
    for i, key in keys.items():
        members.setdefault(representative.get(key, key), []).append(i)
    clusters = tuple(
        Cluster(answer=_shown(answers, indices), members=tuple(indices))
        for indices in sorted(members.values(), key=lambda m: (-len(m), m[0]))
    )
    tied = [k for k, c in enumerate(clusters) if len(c.members) == len(clusters[0].members)]
    tie = len(tied) > 1
    majority: int | None = None
    if clusters and len(keys) / len(answers) >= quorum:
        if not tie or ties == "first":
            majority = 0
        elif ties == "random":
            majority = random.Random(seed).choice(tied)
    return Vote(size=len(answers), answers=tuple(answers), clusters=clusters, majority=majority, tie=tie)


def _linked(keys: set[Key], tolerance: float) -> dict[Key, Key]:
    """For each numeric key the smallest one of its chain."""
    numbers = sorted((value, key) for key in keys if (value := numeric(key)) is not None)
    chain: dict[Key, Key] = {}
    for k, (value, key) in enumerate(numbers):
        linked = k > 0 and within(numbers[k - 1][0], value, tolerance)
        chain[key] = chain[numbers[k - 1][1]] if linked else key
    return chain


def _shown(answers: Sequence[str | None], members: Sequence[int]) -> str:
    """The most frequent spelling, the earliest among equals (a Counter keeps the order of arrival)."""
    spellings = Counter(a for i in members if (a := answers[i]) is not None)
    return spellings.most_common(1)[0][0]
