"""The label-free signals as pure functions: of a vote, of answers across prompts, of a response, of values in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmupt.answers.equivalence import canonical
from mmupt.types import Vote

Answers = Mapping[str, float]
"""Who says what: the share of all rollouts that give an answer, by answer; what could not be read under NO_ANSWER."""

NO_ANSWER = ""
_SMALLEST_SD = 0.01


def answer_shares(vote: Vote, choices: Sequence[str] | None) -> dict[str, float]:
    """The answers of one group, in a spelling that is the same for the same answer to another prompt; options by their
    letter. The shares add up to 1."""
    shares: dict[str, float] = {}
    for cluster in vote.clusters:
        answer = _spelled(canonical(cluster.answer, choices=choices))
        shares[answer] = shares.get(answer, 0.0) + len(cluster.members) / vote.size
    if vote.num_answers < vote.size:
        shares[NO_ANSWER] = 1.0 - vote.num_answers / vote.size
    return shares


def pooled(groups: Iterable[Answers]) -> dict[str, float]:
    """The answers to all prompts together, each prompt with the same weight."""
    total: dict[str, float] = {}
    count = 0
    for answers in groups:
        for answer, share in answers.items():
            total[answer] = total.get(answer, 0.0) + share
        count += 1
    return {answer: share / count for answer, share in total.items()}


def top_answer(answers: Answers) -> tuple[str, float]:
    """The answer given most often, with its share: near 1 where one answer has taken over across prompts. What could
    not be read is no answer."""
    readable = [(share, answer) for answer, share in answers.items() if answer != NO_ANSWER]
    share, answer = max(readable, default=(0.0, NO_ANSWER))
    return answer, share


def total_variation(p: Answers, q: Answers) -> float:
    """1/2 sum |p - q|: 0 for the same distribution of answers, 1 for two that share none."""
    return 0.5 * math.fsum(abs(p.get(answer, 0.0) - q.get(answer, 0.0)) for answer in p.keys() | q.keys())


def repetition(token_ids: Sequence[int], n: int = 4) -> float:
    """The share of a response's n-grams of tokens that it has had before, 0.0 for one shorter than that."""
    count = len(token_ids) - n + 1
    if count < 1:
        return 0.0
    return 1.0 - len(set(zip(*(token_ids[k:] for k in range(n)), strict=False))) / count


def jump(before: Sequence[float], value: float) -> tuple[float, float]:
    """How far `value` lies above the mean of the values before it: absolutely, and in their standard deviations (taken
    to be at least 0.01). (0, 0) with fewer than three before. SRT (arXiv 2505.21444) sees the self-reward jump at the
    collapse."""
    if len(before) < 3:
        return 0.0, 0.0
    mean = math.fsum(before) / len(before)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in before) / len(before))
    return value - mean, (value - mean) / max(sd, _SMALLEST_SD)


@dataclass(frozen=True, slots=True)
class Change:
    """A mean change, and its standard error with the degrees of freedom that it was estimated from."""

    value: float
    error: float
    freedom: int


def paired_change(
    before: Sequence[float], after: Sequence[float], weights: Sequence[float] | None = None
) -> Change | None:
    """The (weighted) mean of after - before over the same prompts, and its standard error over prompts; None for fewer
    than two.

    error^2 = n / (n - 1) * sum w^2 (d - mean)^2 / (sum w)^2, the standard error of the mean where weights are equal.
    """
    n = len(before)
    if n < 2:
        return None
    w = [1.0] * n if weights is None else list(weights)
    d = [a - b for b, a in zip(before, after, strict=True)]
    total = math.fsum(w)
    mean = math.fsum(wi * di for wi, di in zip(w, d, strict=True)) / total
    squares = math.fsum((wi * (di - mean)) ** 2 for wi, di in zip(w, d, strict=True))
    return Change(mean, math.sqrt(n / (n - 1) * squares) / total, n - 1)


def student(deviations: float, freedom: int) -> float:
    """As many standard errors as are as rare under Student's t with `freedom` as `deviations` are under the normal
    distribution: 3 become 4.7 with 6 degrees of freedom. Cornish and Fisher's expansion (Fisher & Cornish 1960) to the
    second order."""
    z = deviations
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def _spelled(key: object) -> str:
    """A key as text; sets in one order, whatever the hash seed of this process."""
    if isinstance(key, frozenset | set):
        return "{" + ", ".join(sorted(_spelled(item) for item in key)) + "}"
    if isinstance(key, tuple):
        return "(" + ", ".join(_spelled(item) for item in key) + ")"
    return str(key)
