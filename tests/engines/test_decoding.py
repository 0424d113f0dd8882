"""Decode attention and its stores, against every rollout alone with its own copy of the prompt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmupt.engines.decoding import DecodeAttention, Seating, WindowMasks, attend, formula
from mmupt.engines.prefix import PrefixStore, Recorder
from mmupt.engines.suffix import SuffixStore
from mmupt.types import GroupSpan

D = 8


def unused(*_: object) -> Tensor:
    raise AssertionError("the recorder was not asked to attend")


def prompts(lengths: list[int], heads: int, layers: int = 1) -> tuple[Recorder, list[GroupSpan]]:
    spans = [GroupSpan(sum(lengths[:i]), length, ()) for i, length in enumerate(lengths)]
    tensors = [[torch.randn(heads, sum(lengths), D) for _ in range(layers)] for _ in range(2)]
    return Recorder(unused, *tensors), spans


@pytest.mark.parametrize(("heads", "shared"), [(2, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("lengths", [[5, 5], [3, 7, 1]])
def test_a_step_is_the_attention_of_each_rollout_alone(heads: int, shared: int, lengths: list[int]) -> None:
    torch.manual_seed(0)
    recorder, spans = prompts(lengths, heads)
    prefix = PrefixStore()
    prefix.add(recorder, spans)
    places = [1, 0, 0, 1, len(lengths) - 1, 1]
    seating = Seating.of(places, len(lengths), heads, torch.device("cpu"))
    suffix = SuffixStore(slots=9, limit=100)
    own: list[list[tuple[Tensor, Tensor]]] = [[] for _ in places]
    before = torch.tensor([0, 0, 0, 0, 0, 0])
    for step in range(70):  # beyond the room a suffix begins with
        if step == 2:  # rollout 3 leaves, the last one moves into its slot; a new one takes the last
            suffix.move(torch.tensor([5]), torch.tensor([3]), 2)
            own[3], own[5], before[5] = own[5], [], 0
        tokens = int(before.max()) + 1
        suffix.reserve(tokens)
        behind = torch.arange(tokens) > before[:, None]
        mask = torch.zeros(behind.shape).masked_fill(behind, -torch.inf)[:, None, None] if step >= 2 else None
        attention = DecodeAttention(prefix, suffix, seating, suffix.places(before, heads), tokens, prefix.mask(), mask)
        query, key, value = (torch.randn(1, h, 6, D) for h in (heads * shared, heads, heads))
        out = attention(0, query, key, value, 0.3)
        for a, place in enumerate(places):
            own[a].append((key[0, :, a], value[0, :, a]))
            at = slice(spans[place].start, spans[place].end)
            keys = torch.cat([recorder.keys[0][:, at], torch.stack([k for k, _ in own[a]], dim=1)], dim=1)
            values = torch.cat([recorder.values[0][:, at], torch.stack([v for _, v in own[a]], dim=1)], dim=1)
            expected = scaled_dot_product_attention(
                query[:, :, a : a + 1], keys[None], values[None], scale=0.3, enable_gqa=True
            )
            torch.testing.assert_close(out[0, a], expected[0, :, 0], atol=1e-5, rtol=1e-5)
        before += 1


@pytest.mark.parametrize("window", [1, 3, 6, 9])
def test_a_sliding_window_is_counted_through_prompt_and_own_tokens(window: int) -> None:
    """Prompts of 5, 3 and 1 tokens under windows that they, and what is sampled, outgrow; rollouts of several ages."""
    torch.manual_seed(0)
    lengths, heads, shared = [5, 3, 1], 2, 2
    recorder, spans = prompts(lengths, heads)
    prefix = PrefixStore()
    prefix.add(recorder, spans)
    places = [1, 0, 0, 2, 1]
    seating = Seating.of(places, len(lengths), heads, torch.device("cpu"))
    suffix = SuffixStore(slots=5, limit=100)
    own: list[list[tuple[Tensor, Tensor]]] = [[] for _ in places]
    before = torch.zeros(5, dtype=torch.long)
    for step in range(14):
        if step == 4:  # one ends, another takes its slot
            own[2], before[2] = [], 0
        tokens = int(before.max()) + 1
        suffix.reserve(tokens)
        masks = {window: WindowMasks.of(window, prefix.lengths, seating, before, tokens)}
        attention = DecodeAttention(
            prefix, suffix, seating, suffix.places(before, heads), tokens, prefix.mask(), None, masks
        )
        query, key, value = (torch.randn(1, h, 5, D) for h in (heads * shared, heads, heads))
        out = attention(0, query, key, value, 0.3, window)
        for a, place in enumerate(places):
            own[a].append((key[0, :, a], value[0, :, a]))
            at = slice(spans[place].start, spans[place].end)
            keys = torch.cat([recorder.keys[0][:, at], torch.stack([k for k, _ in own[a]], dim=1)], dim=1)
            values = torch.cat([recorder.values[0][:, at], torch.stack([v for _, v in own[a]], dim=1)], dim=1)
            expected = scaled_dot_product_attention(
                query[:, :, a : a + 1], keys[None, :, -window:], values[None, :, -window:], scale=0.3, enable_gqa=True
            )
            torch.testing.assert_close(out[0, a], expected[0, :, 0], atol=1e-5, rtol=1e-5)
        before += 1
    with pytest.raises(AssertionError, match="nobody made the masks"):
        attention(0, query, key, value, 0.3, window + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 4])
def test_kernel_and_formula_agree(dtype: torch.dtype, queries: int) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, n, D, dtype=dtype) for n in (queries, 6, 6))
    mask = torch.zeros(3, 1, 1, 6)
    mask[1, ..., 4:] = mask[2, ..., 1:] = -torch.inf
    out, lse = attend(query, key, value, mask, 0.5)
    plain_out, plain_lse = formula(query, key, value, mask, 0.5)
    scores = (query.double() @ key.double().transpose(2, 3)) * 0.5 + mask
    tolerance = 0.03 if dtype == torch.bfloat16 else 1e-6
    for o, e in ((out, lse), (plain_out, plain_lse)):
        assert o.dtype == dtype and e.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(o.double(), scores.softmax(-1) @ value.double(), atol=tolerance, rtol=0)
        torch.testing.assert_close(e.double(), scores.logsumexp(-1), atol=tolerance, rtol=0)


def test_a_group_that_leaves_makes_room() -> None:
    recorder, spans = prompts([4, 2, 3], heads=2, layers=2)
    store = PrefixStore()
    store.add(recorder, spans[:2])
    store.add(recorder, spans[2:])
    assert store.width == 4 and store.heads == 2
    assert store.drop(0) == 2  # the last group moved to the first place
    assert store.lengths == [3, 2] and store.width == 3
    for layer in range(2):
        keys, values = store.read(layer)
        assert keys.shape == (2, 2, 3, D)
        assert torch.equal(keys[0], recorder.keys[layer][:, 6:9])
        assert torch.equal(values[1, :, :2], recorder.values[layer][:, 4:6])
    assert store.drop(1) == 1 and store.mask() is None
    store.add(recorder, spans[:1])
    assert torch.equal(store.read(1)[1][1], recorder.values[1][:, :4])


def test_a_suffix_grows_by_doubling_and_keeps_what_it_holds() -> None:
    suffix = SuffixStore(slots=2, limit=150)
    rooms = set()
    written = []
    for tokens in range(1, 151):
        suffix.reserve(tokens)
        rooms.add(suffix.room)
        key = torch.randn(2, 1, D)
        written.append(key)
        suffix.write(0, suffix.places(torch.tensor([tokens - 1, tokens - 1]), 1), key, -key)
    assert rooms == {64, 128, 150}
    keys, values = suffix.read(0, 2, 150)
    assert torch.equal(keys, torch.stack(written, dim=2)) and torch.equal(values, -keys)
