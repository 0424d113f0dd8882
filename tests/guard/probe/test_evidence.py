"""Evidence of a group, by hand and against every possible split."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest

from mmupt.answers.vote import vote
from mmupt.guard.probe.evidence import evidence_of_shares, evidence_of_vote, split_half


def every_split(sizes: list[int], size: int) -> float:
    """The exact chance that two halves agree on the majority, by going through all of them (an even size)."""
    labels = [k for k, count in enumerate(sizes) for _ in range(count)] + [None] * (size - sum(sizes))
    agree = []
    for chosen in itertools.combinations(range(size), size // 2):
        halves = [[labels[i] for i in chosen], [labels[i] for i in range(size) if i not in chosen]]
        tops = []
        for half in halves:
            counts = Counter(label for label in half if label is not None)
            tops.append({label for label, count in counts.items() if count == max(counts.values())})
        pairs = [a == b for a in tops[0] for b in tops[1]]
        agree.append(sum(pairs) / len(pairs) if pairs else 0.0)
    return sum(agree) / len(agree)


@pytest.mark.parametrize(
    ("sizes", "size"),
    [([8], 8), ([4, 4], 8), ([5, 2, 1], 8), ([3, 2], 8), ([1], 8), ([2, 2, 2, 2], 8), ([6, 4], 10), ([1, 1], 2)],
)
def test_split_half_is_the_mean_over_all_splits(sizes: list[int], size: int) -> None:
    assert split_half(sizes, size, seed=1, splits=20_000) == pytest.approx(every_split(sizes, size), abs=0.012)


def test_split_half_at_its_ends() -> None:
    assert split_half([16], 16, seed=0) == 1.0
    assert split_half([], 16, seed=0) == 0.0
    assert split_half([1], 16, seed=0) == 0.0, "one answer cannot be in both halves"
    assert split_half([3], 3, seed=0) == 1.0, "the odd one is left out"
    assert split_half([9, 7], 16, seed=3) == split_half([9, 7], 16, seed=3) != split_half([9, 7], 16, seed=4)


def test_a_group_by_hand() -> None:
    """Eight samples: 3, 3, 3.0, 1/2, 0.5, 9, and two that could not be read."""
    answers = ["3", "3", "3.0", "1/2", "0.5", "9", None, None]
    found = evidence_of_vote("p", vote(answers), seed=0, view=0.25, view_kept=False)
    assert (found.prompt_id, found.size, found.decided) == ("p", 8, True)
    assert (found.share, found.margin, found.readable) == (3 / 8, 1 / 8, 6 / 8)
    assert found.entropy == pytest.approx(
        -(1 / 2 * math.log(1 / 2) + 1 / 3 * math.log(1 / 3) + 1 / 6 * math.log(1 / 6))
    )
    assert found.stability == pytest.approx(every_split([3, 2, 1], 8), abs=0.12)
    assert (found.view, found.view_kept) == (0.25, False)


def test_nothing_depends_on_the_order_of_the_samples() -> None:
    answers = ["3"] * 5 + ["4"] * 4 + ["5"] * 2 + [None] * 5
    first = evidence_of_vote("p", vote(answers), seed=0)
    for seed in range(20):
        random.Random(seed).shuffle(answers)
        assert evidence_of_vote("p", vote(answers), seed=0) == first


def test_without_any_answer_and_without_a_winner() -> None:
    nothing = evidence_of_vote("p", vote([None] * 4), seed=0)
    assert (nothing.share, nothing.margin, nothing.readable, nothing.entropy, nothing.stability) == (0, 0, 0, 0, 0)
    assert not nothing.decided
    tied = evidence_of_vote("p", vote(["1", "2", "1", "2"]), seed=0)
    assert (tied.share, tied.margin, tied.decided) == (0.5, 0.0, False)


@pytest.mark.parametrize(
    "answers", [["3"] * 5 + ["4"] * 2 + [None], ["3", "4"] * 4, [None] * 8, ["3"] * 8, list("12345678")]
)
def test_shares_alone_tell_the_same(answers: list[str | None]) -> None:
    """What a watch set keeps of a group is enough."""
    group = vote(answers)
    shares = {cluster.answer: len(cluster.members) / group.size for cluster in group.clusters}
    from_shares, from_vote = evidence_of_shares("p", shares, 8, seed=5), evidence_of_vote("p", group, seed=5)
    assert from_shares.entropy == pytest.approx(from_vote.entropy)
    assert from_shares.stability == from_vote.stability
    for name in ("share", "margin", "readable", "decided", "view"):
        assert getattr(from_shares, name) == getattr(from_vote, name), name
