from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmupt.data.stream import PromptStream
from mmupt.errors import DataError
from mmupt.types import LabeledPrompt, Prompt


def prompts(count: int, prefix: str = "p") -> list[Prompt]:
    return [Prompt(id=f"{prefix}{k}", question="?") for k in range(count)]


def ids(stream: PromptStream[Prompt], n: int) -> list[tuple[str, int]]:
    return [(draw.item.id, draw.visit) for draw in stream.take(n)]


@st.composite
def sizes_and_takes(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.integers(1, 12))
    return size, draw(st.lists(st.integers(0, size), min_size=1, max_size=12))


@settings(max_examples=200, deadline=None)
@given(sizes_and_takes(), st.integers(0, 2**64 - 1), st.data())
def test_resuming_anywhere_equals_never_stopping(case: tuple[int, list[int]], seed: int, data: st.DataObject) -> None:
    size, takes = case
    whole = PromptStream(prompts(size), seed=seed)
    expected = [ids(whole, n) for n in takes]

    stop = data.draw(st.integers(0, len(takes)))
    first = PromptStream(prompts(size), seed=seed)
    got = [ids(first, n) for n in takes[:stop]]
    saved = json.loads(json.dumps(first.state_dict()))
    second = PromptStream(prompts(size), seed=seed)
    second.load_state_dict(saved)
    assert got + [ids(second, n) for n in takes[stop:]] == expected
    assert second.state_dict() == whole.state_dict()


@settings(max_examples=200, deadline=None)
@given(sizes_and_takes(), st.integers(0, 1000))
def test_an_epoch_visits_everybody_once_and_a_take_nobody_twice(case: tuple[int, list[int]], seed: int) -> None:
    size, takes = case
    stream = PromptStream(prompts(size), seed=seed)
    drawn: list[tuple[str, int]] = []
    for n in takes:
        take = ids(stream, n)
        assert len(take) == n
        assert len({name for name, _ in take}) == n
        drawn += take
    assert all(count == 1 for count in Counter(drawn).values())  # nothing repeated within an epoch
    visits = [visit for _, visit in drawn]
    assert visits == sorted(visits)
    for epoch in range(max(visits, default=0)):  # nothing dropped from an epoch that is over
        assert visits.count(epoch) == size


def test_orders_differ_by_epoch_and_seed_and_not_by_the_size_of_takes() -> None:
    a = PromptStream(prompts(50), seed=3)
    first, second = ids(a, 50), ids(a, 50)
    assert [name for name, _ in first] != [name for name, _ in second]
    assert [name for name, _ in first] != [f"p{k}" for k in range(50)]
    assert ids(PromptStream(prompts(50), seed=4), 50) != first
    b = PromptStream(prompts(50), seed=3)
    assert [draw for _ in range(10) for draw in ids(b, 5)] == first


def test_the_order_is_pinned() -> None:
    """A saved run must find the same order under another release of NumPy."""
    assert [name for name, _ in ids(PromptStream(prompts(8), seed=0), 8)] == [f"p{k}" for k in (0, 2, 1, 5, 4, 3, 6, 7)]


def test_too_few_prompts() -> None:
    with pytest.raises(DataError, match=r"needs 4 different prompts, but the data set has 3; lower prompts_per_step"):
        PromptStream(prompts(3), seed=0).take(4)


def test_labeled_prompts_stream_alike() -> None:
    plain = prompts(9)
    labeled = [LabeledPrompt(prompt=prompt, answer="1") for prompt in plain]
    a, b = PromptStream(plain, seed=5), PromptStream(labeled, seed=5)
    assert [draw.item for draw in a.take(9)] == [draw.item.prompt for draw in b.take(9)]
    assert a.state_dict() == b.state_dict()


@pytest.mark.parametrize("others", [prompts(5, "x"), prompts(6), list(reversed(prompts(5)))])
def test_another_data_set_is_refused(others: list[Prompt]) -> None:
    state = PromptStream(prompts(5), seed=0).state_dict()
    with pytest.raises(DataError, match=r"other prompts .*resume with the data set the run began with"):
        PromptStream(others, seed=0).load_state_dict(state)


def test_another_seed_and_damage_are_refused() -> None:
    state = PromptStream(prompts(5), seed=0).state_dict()
    with pytest.raises(DataError, match="shuffled with seed 0, this run has 1"):
        PromptStream(prompts(5), seed=1).load_state_dict(state)
    for key, value in {"epoch": -1, "offset": 6, "put_off": [5]}.items():
        with pytest.raises(DataError, match="damaged"):
            PromptStream(prompts(5), seed=0).load_state_dict(state | {key: value})
    with pytest.raises(DataError, match="other prompts"):
        PromptStream(prompts(5), seed=0).load_state_dict({})
