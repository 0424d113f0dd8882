from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmupt.algo.packing import PackItem, pack, plan_micro_batches, plan_ranks
from mmupt.errors import TrainingError
from mmupt.types import EncodedPrompt


def text_prompt(length: int, first_id: int) -> EncodedPrompt:
    positions = torch.arange(length).expand(3, -1)
    return EncodedPrompt(torch.arange(first_id, first_id + length), positions, length)


groups = st.lists(
    st.tuples(
        st.integers(1, 5), st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=4), min_size=1, max_size=4)
    ),
    min_size=1,
    max_size=4,
)


@given(groups)
def test_every_token_stands_where_it_would_stand_alone(shape: list[tuple[int, list[list[int]]]]) -> None:
    """Behind its prompt and its own completion so far, predicted by the token before it, at the same positions."""
    items = [PackItem(text_prompt(p, 1000 * (i + 1)), completions) for i, (p, completions) in enumerate(shape)]
    batch = pack(items)
    at = 0
    for item, span in zip(items, batch.spans, strict=True):
        prompt = range(span.start, span.first_completion)
        start = span.first_completion
        for completion in item.completions:
            alone = [*prompt, *range(start, start + len(completion))]
            ids = [*item.encoded.token_ids.tolist(), *completion]
            assert batch.input_ids_L[alone].tolist() == ids
            assert batch.positions_3L[:, alone].tolist() == [list(range(len(ids)))] * 3
            predictors = alone[item.encoded.length - 1 : -1]
            assert batch.predictor_T[at : at + len(completion)].tolist() == predictors
            assert batch.target_T[at : at + len(completion)].tolist() == list(completion)
            start, at = start + len(completion), at + len(completion)
        assert start == span.end
    assert at == len(batch.target_T)
    assert batch.spans[-1].end == len(batch.input_ids_L), "no padding"


@given(groups)
def test_rollouts_are_numbered_through(shape: list[tuple[int, list[list[int]]]]) -> None:
    items = [PackItem(text_prompt(p, 1000), completions) for p, completions in shape]
    batch = pack(items)
    lengths = [len(c) for item in items for c in item.completions]
    assert torch.bincount(batch.rollout_T).tolist() == lengths
    assert batch.num_rollouts == len(lengths)


def test_an_empty_completion_is_refused() -> None:
    with pytest.raises(TrainingError, match="without tokens"):
        pack([PackItem(text_prompt(3, 1), [[1], []])])


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 300))
def test_micro_batches_hold_every_group_once_within_the_budget(lengths: list[int], budget: int) -> None:
    plan = plan_micro_batches(lengths, budget)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    sizes = [sum(lengths[i] for i in row) for row in plan]
    assert all(size <= budget or len(row) == 1 for size, row in zip(sizes, plan, strict=True))
    fitting = sorted(size for size in sizes if size <= budget)
    assert len(fitting) < 2 or fitting[0] + fitting[1] > budget, "two rows that fit into one are one"


@pytest.mark.parametrize("seed", range(30))
def test_rows_for_several_processes(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(1, 70) for _ in range(rng.randint(0, 25))]
    ranks, budget = rng.randint(1, 5), 64
    plan = plan_ranks(lengths, budget, ranks)
    rows = [row for own in plan for row in own]
    assert len(plan) == ranks and all(rows)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths))), "whole groups, each once"
    assert all(len(row) == 1 or sum(lengths[i] for i in row) <= budget for row in rows)
    counts = [len(own) for own in plan]
    assert max(counts) - min(counts) <= 1, "nobody waits for more than one row of another"
    assert plan_ranks(lengths, budget, 1) == [plan_micro_batches(lengths, budget)]
    if len(lengths) >= ranks:
        assert min(counts) >= 1, "everybody has something to do where there is enough"
