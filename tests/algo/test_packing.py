from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmupt.algo.packing import PackItem, block_mask, pack, plan_micro_batches
from mmupt.errors import TrainingError
from mmupt.types import EncodedPrompt


def no_vision(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {}


def text_prompt(length: int, first_id: int) -> EncodedPrompt:
    positions = torch.arange(length).expand(3, -1)
    return EncodedPrompt(torch.arange(first_id, first_id + length), positions, length, {})


groups = st.lists(
    st.tuples(
        st.integers(1, 5), st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=4), min_size=1, max_size=4)
    ),
    min_size=1,
    max_size=4,
)


@given(groups, st.integers(0, 60))
def test_every_position_sees_its_own_past_and_nothing_else(
    shape: list[tuple[int, list[list[int]]]], row_tokens: int
) -> None:
    """For each completion token: the keys it may look at, in order, spell exactly prompt + own completion so far."""
    items = [PackItem(text_prompt(p, 1000 * (i + 1)), completions) for i, (p, completions) in enumerate(shape)]
    batch = pack(items, no_vision, row_tokens=row_tokens)
    mask = block_mask(batch.group_BL, batch.completion_BL)[:, 0]
    width = batch.input_ids_BL.shape[1]
    at = 0
    for item in items:
        prompt = item.encoded.token_ids.tolist()
        for completion in item.completions:
            for k, token in enumerate(completion):
                b, q = divmod(int(batch.predictor_T[at]), width)
                seen = mask[b, q].nonzero()[:, 0]
                assert batch.input_ids_BL[b, seen].tolist() == prompt + list(completion[:k])
                assert batch.positions_3BL[0, b, seen].tolist() == list(range(len(prompt) + k))
                assert int(batch.target_T[at]) == token
                at += 1
    assert at == len(batch.target_T)
    assert mask.any(-1).all(), "no softmax may be empty, padding included"


@given(groups)
def test_rollouts_are_numbered_through(shape: list[tuple[int, list[list[int]]]]) -> None:
    items = [PackItem(text_prompt(p, 1000), completions) for p, completions in shape]
    batch = pack(items, no_vision)
    lengths = [len(c) for item in items for c in item.completions]
    assert torch.bincount(batch.rollout_T).tolist() == lengths
    assert batch.num_rollouts == len(lengths)


def test_an_empty_completion_is_refused() -> None:
    with pytest.raises(TrainingError, match="without tokens"):
        pack([PackItem(text_prompt(3, 1), [[1], []])], no_vision)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 300))
def test_micro_batches_hold_every_group_once_within_the_budget(lengths: list[int], budget: int) -> None:
    plan = plan_micro_batches(lengths, budget)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
