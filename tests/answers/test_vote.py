"""The vote of a group."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmupt.answers.equivalence import same
from mmupt.answers.vote import semantic_entropy, vote
from mmupt.types import Cluster


def test_the_example_of_the_vote_type() -> None:
    result = vote(["3", "3.0", None, "4", "3"])
    assert result.clusters == (Cluster("3", (0, 1, 4)), Cluster("4", (3,)))
    assert (result.size, result.majority, result.tie, result.share, result.num_answers) == (5, 0, False, 0.6, 4)


def test_fault_1_an_unreadable_answer_never_votes() -> None:
    """In the authors' code a failed extraction becomes the string "None", which can win."""
    result = vote([None, None, None, "7"])
    assert result.winner == Cluster("7", (3,))
    assert result.share == 0.25
    nobody = vote([None, None])
    assert (nobody.clusters, nobody.majority, nobody.tie, nobody.share) == ((), None, False, 0.0)
    assert vote([]).majority is None


def test_fault_2_equivalent_answers_vote_together() -> None:
    """The authors' code counts raw strings: 1/2 and 0.5 split the vote."""
    result = vote(["1/2", "0.5", r"\frac{1}{2}", "2", "2"])
    assert result.winner == Cluster("1/2", (0, 1, 2))
    assert vote(["A", "A. 60", "60°", "B", "B"], choices=["60", "70"]).winner == Cluster("A", (0, 1, 2))


def test_a_bare_number_votes_with_the_only_unit_of_the_group() -> None:
    assert vote(["45 km", "45", "45 kilometres", "46"]).winner == Cluster("45 km", (0, 1, 2))
    apart = vote(["45 km", "45", "45 m"])
    assert [c.members for c in apart.clusters] == [(0,), (1,), (2,)]  # whose the bare one is, nobody knows
    assert vote(["3:45", "3:45 PM", "15:45"]).winner == Cluster("3:45", (0, 1, 2))
    assert len(vote(["3:45", "3:45 PM", "3:45 AM"]).clusters) == 3
    assert vote(["7.06", "7.07 cm", "7.07"], tolerance=0.01).share == 1
    assert len(vote(["7.06 cm", "7.06", "7.07"]).clusters) == 2


def test_the_shown_answer_is_the_most_frequent_spelling() -> None:
    assert vote(["0.5", "1/2", "1/2"]).clusters[0].answer == "1/2"
    assert vote(["0.5", "1/2"]).clusters[0].answer == "0.5"


def test_ties() -> None:
    group = ["4", "3", "4", "3", "5"]
    assert (vote(group).majority, vote(group).tie) == (None, True)
    first = vote(group, ties="first")
    assert (first.winner, first.tie) == (Cluster("4", (0, 2)), True)
    drawn = {vote(group, ties="random", seed=s).majority for s in range(40)}
    assert drawn == {0, 1}  # never the smaller third cluster
    assert all(vote(group, ties="random", seed=s) == vote(group, ties="random", seed=s) for s in range(5))


@pytest.mark.parametrize(("size", "readable"), [(10, 7), (10, 3), (6, 2), (8, 6)])
def test_a_quorum_is_met_exactly(size: int, readable: int) -> None:
    group = ["1"] * readable + [None] * (size - readable)
    assert vote(group, quorum=readable / size).majority == 0
    missed = vote(group, quorum=(readable + 1) / size)
    assert missed.majority is None
    assert missed.clusters and not missed.tie


def test_tolerance_is_single_linkage_on_the_number_line() -> None:
    chain = ["100", "101", "102", "110", "yes"]
    result = vote(chain, tolerance=0.011)
    assert result.clusters[0].members == (0, 1, 2)  # 100 and 102 are linked through 101
    assert not same("100", "102", tolerance=0.011)
    assert [c.members for c in vote(chain).clusters] == [(0,), (1,), (2,), (3,), (4,)]


spellings = st.sampled_from(
    ["1/2", "0.5", "50%", "2", "2.0", "2.01", "2.02", "A", "(B)", "yes", "None", None, r"\sqrt{4}"]
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(spellings, max_size=12),
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 0.006]),
    st.sampled_from([None, ("2", "0.5")]),
)
def test_clusters_do_not_depend_on_the_order(
    group: list[str | None], shuffle: random.Random, tolerance: float, choices: tuple[str, ...] | None
) -> None:
    order = list(range(len(group)))
    shuffle.shuffle(order)
    before = vote(group, tolerance=tolerance, choices=choices)
    after = vote([group[i] for i in order], tolerance=tolerance, choices=choices)
    assert {frozenset(c.members) for c in before.clusters} == {
        frozenset(order[m] for m in c.members) for c in after.clusters
    }
    assert (before.tie, before.share, before.num_answers) == (after.tie, after.share, after.num_answers)
    if before.winner and after.winner:
        assert set(before.winner.members) == {order[m] for m in after.winner.members}
    else:
        assert before.winner is after.winner is None


@settings(max_examples=50, deadline=None)
@given(st.lists(spellings, max_size=8), st.integers(1, 20))
def test_none_never_wins_however_common(group: list[str | None], failures: int) -> None:
    padded = group + [None] * failures
    result = vote(padded, ties="first")
    assert all(padded[m] is not None for c in result.clusters for m in c.members)
    assert [c.members for c in result.clusters] == [c.members for c in vote(group, ties="first").clusters]
    assert result.majority == vote(group, ties="first").majority


def test_a_batch_of_the_papers_size_is_quick() -> None:
    """512 groups of 10 short answers; measured at a few hundredths of a second, so 20 s means something is broken."""
    rng = random.Random(0)
    groups = [[f"{rng.randint(0, 400)}/{rng.randint(1, 9)}" for _ in range(10)] for _ in range(512)]
    start = time.perf_counter()
    assert all(vote(group).num_answers == 10 for group in groups)
    assert time.perf_counter() - start < 20


def test_an_option_is_shown_by_its_letter() -> None:
    """Whatever most rollouts wrote, so that the same option looks the same in every group."""
    outcome = vote(["45 km", "45 km", "(B)", "36", "none of these"], choices=["36 km", "45 km"])
    assert [(c.answer, c.members) for c in outcome.clusters] == [("B", (0, 1, 2)), ("A", (3,)), ("none of these", (4,))]


def test_semantic_entropy_by_hand() -> None:
    h = -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4))
    assert semantic_entropy(vote(["3", "3.0", None, "4", "3"])) == pytest.approx(h)  # of those who could be read
    assert semantic_entropy(vote(["1", "2", "3"])) == pytest.approx(math.log(3))


def test_entropy_of_nothing_is_zero_and_not_negative_zero() -> None:
    for answers in ([None, None], ["1", "1"]):
        assert math.copysign(1, semantic_entropy(vote(answers))) == 1
        assert semantic_entropy(vote(answers)) == 0
