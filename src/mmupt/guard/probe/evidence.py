"""What the start model's answers to one prompt say about their own majority."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmupt.answers.vote import semantic_entropy
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Vote

SPLITS = 64
"""Random splits of a group into halves."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One prompt, asked `size` times.

    `share` is the part of all samples in the largest cluster of answers, `margin` how far the second lies behind it,
    `readable` the part with any answer; `entropy` is semantic entropy in nats. `stability` is how often the majorities
    of two halves of the samples agree. `decided` says whether the vote has a winner.

    `view` is the part of the samples on another view of the picture that give the majority answer, `view_kept` whether
    it is the majority there too; None for a prompt without pictures, or where nobody looked.
    """

    prompt_id: str
    size: int
    share: float
    margin: float
    readable: float
    entropy: float
    stability: float
    decided: bool
    view: float | None = None
    view_kept: bool | None = None


def evidence_of_vote(
    prompt_id: str, vote: Vote, *, seed: int, view: float | None = None, view_kept: bool | None = None
) -> Evidence:
    """The evidence of a group's vote."""
    sizes = [len(cluster.members) for cluster in vote.clusters]
    return _evidence(
        prompt_id, sizes, vote.size, semantic_entropy(vote), vote.winner is not None, seed, view, view_kept
    )


def evidence_of_shares(prompt_id: str, shares: Mapping[str, float], size: int, *, seed: int) -> Evidence:
    """The same from the shares of the answers alone (those that could be read), as a watch set keeps them; without a
    view, and a tie counts as undecided."""
    sizes = sorted((round(share * size) for share in shares.values()), reverse=True)
    sizes = [count for count in sizes if count]
    decided = bool(sizes) and (len(sizes) == 1 or sizes[0] > sizes[1])
    total = sum(sizes)
    entropy = -sum(count / total * math.log(count / total) for count in sizes) + 0.0
    return _evidence(prompt_id, sizes, size, entropy, decided, seed, None, None)


def split_half(sizes: Sequence[int], size: int, *, seed: int, splits: int = SPLITS) -> float:
    """How often the majorities of two halves of a group agree, over random splits; an odd one is left out.

    `sizes` are those of the clusters, the rest of the `size` samples could not be read and do not vote. Ties count by
    the chance that two picks among the tied are the same; a half with nobody to read agrees with nothing. Depends on
    sizes and seed alone, so it does not matter in which order the samples came.
    """
    if not sizes:
        return 0.0
    clusters = np.arange(len(sizes))
    labels_G = np.concatenate([np.repeat(clusters, sizes), np.full(size - sum(sizes), -1)])
    rng = np.random.Generator(np.random.Philox(key=seed))
    shuffled_SG = rng.permuted(np.tile(labels_G, (splits, 1)), axis=1)
    half = size // 2
    tops = []
    for part_SG in (shuffled_SG[:, :half], shuffled_SG[:, half : 2 * half]):
        counts_SC = (part_SG[:, :, None] == clusters).sum(axis=1)
        tops.append((counts_SC == counts_SC.max(axis=1, keepdims=True)) & (counts_SC > 0))
    both_S = (tops[0] & tops[1]).sum(axis=1)
    picks_S = tops[0].sum(axis=1) * tops[1].sum(axis=1)
    return float((both_S / np.maximum(picks_S, 1)).mean())


def _evidence(
    prompt_id: str,
    sizes: Sequence[int],
    size: int,
    entropy: float,
    decided: bool,
    seed: int,
    view: float | None,
    view_kept: bool | None,
) -> Evidence:
    first, second = [*sizes[:2], 0, 0][:2]
    return Evidence(
        prompt_id=prompt_id,
        size=size,
        share=first / size,
        margin=(first - second) / size,
        readable=sum(sizes) / size,
        entropy=entropy,
        stability=split_half(sizes, size, seed=derive_seed(seed, "split halves", prompt_id)),
        decided=decided,
        view=view,
        view_kept=view_kept,
    )
