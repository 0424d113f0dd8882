"""Majority selects, novelty varies (EVOL-RL, arXiv 2509.15194): agreeing with the majority always pays more than not
agreeing, and among those who agree, and among those who do not, saying it in another way pays more.

Departures from the paper: it compares the embeddings of a 4B text model, here responses are compared by the words and
letters they share (`vectors`), which needs no second model and sees paraphrase as novelty; and where nobody wins the
vote nobody is rewarded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards.base import Reward, group_vote
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup

_ALPHA = 0.5
"""The paper's weight of the mean similarity to one's own class against the largest to anybody."""
_BUCKETS = 2**14
_WORD = re.compile(r"\w+|[^\w\s]")


class Novelty(Reward):
    """r_i = 0.5 + u_i / 2 for members of the majority, -1 + u_i / 2 for all others who could be read, -1 for those who
    could not; all 0 where nobody wins.

    u_i in [0, 1] is the novelty 1 - (alpha mean similarity to the others of its class + (1 - alpha) largest similarity
    to anybody in the group), min-max normalised within the class (the majority; the minority, whatever it answers),
    and 1/2 where the class leaves no choice: one member, or all as novel. The component `novelty_within` is u, 0 for
    those without one.
    """

    name = "novelty"

    def __init__(self, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self._answers, self._reward, self._seed = answers, reward, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [self._score(group) for group in groups]

    def _score(self, group: RolloutGroup) -> GroupScore:
        vote = group_vote(group, self._answers, self._reward, seed=self._seed)
        novelty = [0.0] * group.size
        if vote.winner is None:
            return GroupScore(tuple(novelty), vote, {"novelty_within": tuple(novelty)})
        similarities_GG = similarities([rollout.text for rollout in group.rollouts])
        majority = vote.winner.members
        minority = tuple(i for cluster in vote.clusters if cluster is not vote.winner for i in cluster.members)
        rewards = [-1.0] * group.size
        for floor, members in ((0.5, majority), (-1.0, minority)):
            within = _normalised([_novelty(i, members, similarities_GG) for i in members])
            for i, u in zip(members, within, strict=True):
                novelty[i], rewards[i] = u, floor + u / 2
        return GroupScore(tuple(rewards), vote, {"novelty_within": tuple(novelty)})


def similarities(texts: Sequence[str]) -> NDArray[np.float64]:
    """f64[G, G]: cosines of the texts' vectors, in [0, 1]."""
    vectors_GB = vectors(texts)
    return np.clip(vectors_GB @ vectors_GB.T, 0.0, 1.0)


def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """f64[G, buckets], each of length one (an empty text: zero): how often single words, pairs of words and triples of
    characters occur, as 1 + log count so that repetition does not drown the rest, hashed into buckets (CRC-32)."""
    rows_GB = np.zeros((len(texts), _BUCKETS))
    for row_B, text in zip(rows_GB, texts, strict=True):
        for gram, count in _grams(text).items():
            row_B[crc32(gram.encode("utf-8", "surrogatepass")) % _BUCKETS] += 1.0 + math.log(count)
    lengths_G = np.linalg.norm(rows_GB, axis=1, keepdims=True)
    return rows_GB / np.where(lengths_G > 0, lengths_G, 1.0)


def _grams(text: str) -> Counter[str]:
    """Numbers and signs are words. A first letter keeps the kinds apart."""
    text = text.lower()
    words = _WORD.findall(text)
    grams = Counter(f"w{word}" for word in words)
    grams.update(f"p{first} {second}" for first, second in pairwise(words))
    squeezed = " ".join(words)
    grams.update(f"c{squeezed[k : k + 3]}" for k in range(len(squeezed) - 2))
    return grams


def _novelty(i: int, members: Sequence[int], similarities_GG: NDArray[np.float64]) -> float:
    """1 - (alpha mean + (1 - alpha) max); a member alone in its class resembles nobody in it."""
    own = [float(similarities_GG[i, j]) for j in members if j != i]
    mean = sum(own) / len(own) if own else 0.0
    largest = max((float(s) for j, s in enumerate(similarities_GG[i]) if j != i), default=0.0)
    return 1.0 - (_ALPHA * mean + (1.0 - _ALPHA) * largest)


def _normalised(values: Sequence[float]) -> list[float]:
    """Stretched to [0, 1]. Values that differ by float error only are equal: the order of a sum is no novelty."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high - low < 1e-9:
        return [0.5] * len(values)
    return [(value - low) / (high - low) for value in values]
