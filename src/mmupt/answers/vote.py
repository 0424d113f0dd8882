"""The vote of a group: its answers, clustered by what they say."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

from mmupt.answers.equivalence import canonical, within
from mmupt.answers.values.kinds import Key, number_and_unit, numeric
from mmupt.answers.values.times import may_be
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
    There is no winner either where less than `quorum` of the G answers could be read. A cluster shows the letter of its
    option where it has one, else its most frequent spelling.

    A bare number votes with the quantity of that value where the group writes it with one unit only (`45` with
    `45 km`, unless there is a `45 m` too), a time without half of the day likewise: the group asks one question, and
    most of it leaves the unit out. So clusters can be larger than the classes of `same`, never smaller.

    With `tolerance` numbers of one unit are clustered by single linkage on the number line: sorted, a gap wider than
    the relative tolerance starts a new cluster; two members of a cluster may lie further apart than the tolerance when
    others lie between them. All this depends on the set of answers only, never on their order.
    """
    keys = {i: canonical(a, choices=choices) for i, a in enumerate(answers) if a is not None}
    representative = _completed(set(keys.values()))
    if tolerance > 0:
        linked = _linked({representative.get(key, key) for key in keys.values()}, tolerance)
        full = {key: representative.get(key, key) for key in keys.values()}
        representative = {key: linked.get(full[key], full[key]) for key in full}
    members: dict[Key, list[int]] = {}
    for i, key in keys.items():
        members.setdefault(representative.get(key, key), []).append(i)
    clusters = tuple(
        Cluster(answer=_shown(key, [a for i in indices if (a := answers[i]) is not None]), members=tuple(indices))
        for key, indices in sorted(members.items(), key=lambda item: (-len(item[1]), item[1][0]))
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


def semantic_entropy(vote: Vote) -> float:
    """H = -sum p log p over the clusters of the answers that could be read, in nats (MM-UPT's diagnostic; semantic
    entropy after arXiv 2302.09664). 0.0 where all agree, and where nobody could be read."""
    if not vote.num_answers:
        return 0.0
    shares = [len(cluster.members) / vote.num_answers for cluster in vote.clusters]
    return -sum(p * math.log(p) for p in shares) + 0.0


def _completed(keys: set[Key]) -> dict[Key, Key]:
    """For each number without a unit (and time without half of the day) the only full one in the group."""
    full = [key for key in keys if key[0] in ("quantity", "time")]
    if not full:
        return {}
    completed: dict[Key, Key] = {}
    for key in keys:
        number = numeric(key)
        fitting = [f for f in full if may_be(key, f) or (number is not None and number_and_unit(f)[0] == number)]
        if len(fitting) == 1:
            completed[key] = fitting[0]
    return completed


def _linked(keys: set[Key], tolerance: float) -> dict[Key, Key]:
    """For each number or quantity the smallest one of its chain. A bare number has the unit that is the only one."""
    measured = [(key, number, unit) for key in keys for number, unit in [number_and_unit(key)] if number is not None]
    units = {unit for _, _, unit in measured if unit}
    only = units.pop() if len(units) == 1 else ""
    numbers = sorted((unit or only, value, key) for key, value, unit in measured)
    chain: dict[Key, Key] = {}
    for k, (unit, value, key) in enumerate(numbers):
        previous_unit, previous, previous_key = numbers[k - 1]
        linked = k > 0 and previous_unit == unit and within(previous, value, tolerance)
        chain[key] = chain[previous_key] if linked else key
    return chain


def _shown(key: Key, spellings: Sequence[str]) -> str:
    """The letter of an option; of any other answer the most frequent spelling, the earliest among equals (a Counter
    keeps the order of arrival)."""
    if key[0] == "option" and isinstance(key[1], int) and key[1] < len(ascii_uppercase):
        return ascii_uppercase[key[1]]
    return Counter(spellings).most_common(1)[0][0]
