"""Novelty inside the majority and the minority: by hand, and against a reference that goes pair by pair."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.rewards import novelty as module
from mmupt.rewards.novelty import Novelty, similarities
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup


def score(group: RolloutGroup, **reward: object) -> GroupScore:
    settings = RewardSettings(name="novelty", **reward)  # type: ignore[arg-type]
    return Novelty(AnswerSettings(), settings, seed=0).score([group])[0]


def test_by_hand(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rollouts 0, 1, 2 are the majority, 3 and 4 the minority (of two answers), 5 cannot be read."""
    table = [
        #  0    1    2    3    4    5
        [1.0, 0.8, 0.4, 0.1, 0.0, 0.0],
        [0.8, 1.0, 0.2, 0.1, 0.0, 0.0],
        [0.4, 0.2, 1.0, 0.0, 0.0, 0.9],
        [0.1, 0.1, 0.0, 1.0, 0.2, 0.3],
        [0.0, 0.0, 0.0, 0.2, 1.0, 0.0],
        [0.0, 0.0, 0.9, 0.3, 0.0, 1.0],
    ]
    monkeypatch.setattr(module, "similarities", lambda texts: np.array(table))
    found = score(group_of(boxed("1", "1", "1", "2", "3", None)))
    # Majority: 1 - (mean / 2 + max / 2) = 0.30, 0.35, 0.40 (rollout 2 is most like the unreadable one) -> u = 0, 1/2, 1
    # Minority: 1 - (0.2 / 2 + 0.3 / 2) = 0.75 and 1 - (0.2 / 2 + 0.2 / 2) = 0.80                      -> u = 0, 1
    assert found.rewards == pytest.approx((0.5, 0.75, 1.0, -1.0, -0.5, -1.0))
    assert found.components["novelty_within"] == pytest.approx((0.0, 0.5, 1.0, 0.0, 1.0, 0.0))


def test_a_class_without_a_choice_stands_in_its_middle(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    found = score(group_of(boxed("1", "1", "2", None)))
    assert found.rewards == pytest.approx((0.75, 0.75, -0.75, -1.0)), "two of the same words, one alone, one unreadable"
    assert score(group_of(boxed("5", "5"))).rewards == (0.75, 0.75)


def test_saying_it_in_another_way_pays(group_of: Callable[..., RolloutGroup]) -> None:
    same, other = r"add three and four: \boxed{7}", r"both dice counted twice, then halved, give \boxed{7}"
    assert score(group_of([same, same, other])).rewards == pytest.approx((0.5, 0.5, 1.0))


def test_where_nobody_wins_nobody_is_rewarded(
    group_of: Callable[..., RolloutGroup], boxed: Callable[..., list[str]]
) -> None:
    assert score(group_of(boxed("1", "2"))).rewards == (0.0, 0.0)
    assert score(group_of(boxed(None, None))).rewards == (0.0, 0.0)
    assert score(group_of(boxed("1", None, None, None)), quorum=0.5).rewards == (0.0,) * 4
    assert score(group_of(boxed("1", "2")), ties="first").rewards == (0.75, -0.75)


def slow_rewards(group: RolloutGroup, majority: tuple[int, ...], readable: set[int]) -> list[float]:
    """The same, one pair and one gram at a time."""

    def vector(text: str) -> dict[int, float]:
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        joined = " ".join(words)
        grams = [f"w{w}" for w in words] + [f"p{words[k]} {words[k + 1]}" for k in range(len(words) - 1)]
        grams += [f"c{joined[k : k + 3]}" for k in range(len(joined) - 2)]
        found: dict[int, float] = {}
        for gram in set(grams):
            bucket = crc32(gram.encode()) % 2**14
            found[bucket] = found.get(bucket, 0.0) + 1 + math.log(grams.count(gram))
        return found

    def cosine(a: dict[int, float], b: dict[int, float]) -> float:
        product = sum(x * b.get(k, 0.0) for k, x in a.items())
        return product / math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))

    vectors = [vector(rollout.text) for rollout in group.rollouts]
    rewards = [-1.0] * group.size
    for floor, members in ((0.5, sorted(majority)), (-1.0, sorted(readable - set(majority)))):
        raw = []
        for i in members:
            own = [cosine(vectors[i], vectors[j]) for j in members if j != i]
            nearest = max(cosine(vectors[i], vectors[j]) for j in range(group.size) if j != i)
            raw.append(1 - 0.5 * (sum(own) / len(own) if own else 0) - 0.5 * nearest)
        for i, value in zip(members, raw, strict=True):
            spread = max(raw) - min(raw)
            rewards[i] = floor + 0.5 * ((value - min(raw)) / spread if spread > 1e-9 else 0.5)
    return rewards


@pytest.mark.parametrize("seed", range(30))
def test_against_pair_by_pair(random_group: Callable[[int], RolloutGroup], seed: int) -> None:
    group = random_group(seed)
    found = score(group)
    if found.vote.winner is None:
        assert found.rewards == (0.0,) * group.size
        return
    majority = found.vote.winner.members
    readable = {i for i, answer in enumerate(found.vote.answers) if answer is not None}
    assert found.rewards == pytest.approx(slow_rewards(group, majority, readable), abs=1e-9)
    assert all(0.5 <= found.rewards[i] <= 1.0 for i in majority)
    assert all(-1.0 <= found.rewards[i] <= -0.5 for i in readable - set(majority))

    order = random.Random(seed).sample(range(group.size), group.size)
    turned = replace(group, rollouts=tuple(group.rollouts[i] for i in order))
    assert score(turned).rewards == pytest.approx([found.rewards[i] for i in order])


def test_similarities_by_hand() -> None:
    """ "a" is one gram; "a b" are four (a, b, the pair, three characters); "a a" three, of which the word counts twice:
    1 + log 2."""
    found = similarities(["a", "a b", "A", "zz", "", "a a"])
    twice = 1 + math.log(2)
    assert found[0].tolist() == pytest.approx([1.0, 0.5, 1.0, 0.0, 0.0, twice / math.sqrt(twice**2 + 2)])
    assert np.array_equal(found, found.T)
    assert found[4].tolist() == [0.0] * 6, "an empty text resembles nothing"


def test_any_text_can_be_compared() -> None:
    found = similarities(["\ud800 lone", "\x00\u200b", "日本語の答え", "日本語の答え", "x" * 10_000])
    assert np.isfinite(found).all()
    assert found[2, 3] == pytest.approx(1.0)


def test_hashing_hardly_blurs(random_group: Callable[[int], RolloutGroup]) -> None:
    """Against cosines without buckets, on texts a few dozen words long."""
    rng = random.Random(0)
    words = [f"word{k}" for k in range(300)]
    texts = [" ".join(rng.choices(words, k=80)) for _ in range(8)]
    counted = [module._grams(text) for text in texts]

    def cosine(a: dict[str, int], b: dict[str, int]) -> float:
        weight = {k: 1 + math.log(n) for k, n in a.items()}, {k: 1 + math.log(n) for k, n in b.items()}
        product = sum(x * weight[1].get(k, 0.0) for k, x in weight[0].items())
        return product / math.sqrt(math.prod(sum(x * x for x in w.values()) for w in weight))

    exact = np.array([[cosine(a, b) for b in counted] for a in counted])
    assert np.abs(similarities(texts) - exact).max() < 0.03
