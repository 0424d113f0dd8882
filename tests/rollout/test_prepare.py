"""Drawing prompts: what is skipped is replaced, counted, and allowed; working ahead changes nothing of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmupt.data.stream import PromptStream
from mmupt.errors import DataError
from mmupt.models.encoding import PromptTooLong
from mmupt.rollout.prepare import PreparedBatch, Preparer
from mmupt.runtime.ahead import ahead
from mmupt.types import EncodedPrompt, Prompt


def encode(prompt: Prompt) -> EncodedPrompt:
    if "long" in prompt.id:
        raise PromptTooLong("too long")
    if "broken" in prompt.id:
        raise DataError("broken")
    return EncodedPrompt(torch.tensor([1]), torch.zeros(3, 1, dtype=torch.long), 1)


def preparer(ids: list[str], *, skip_long: bool = True, skip_bad: bool = True) -> Preparer:
    stream = PromptStream([Prompt(i, "?") for i in ids], seed=0)
    return Preparer(stream, encode, skip_long, skip_bad)  # type: ignore[arg-type]


@dataclass
class Seen:
    """What a loop sees of its batches, and of the error that ends them."""

    ids: list[list[tuple[str, int]]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    error: str | None = None

    def read(self, batches: Iterator[PreparedBatch]) -> None:
        try:
            for batch in batches:
                self.ids.append([(p.prompt.id, p.visit) for p in batch.prompts])
                self.states.append(json.dumps(batch.stream_state))
                self.skipped.append(batch.skipped)
        except DataError as error:
            self.error = f"{type(error).__name__}: {error}"


def reference(ids: list[str], n: int, count: int, *, skip_long: bool, skip_bad: bool) -> Seen:
    """One draw after the other, no generator, no thread."""
    stream = PromptStream([Prompt(i, "?") for i in ids], seed=0)
    seen = Seen()
    skipped = 0
    for _ in range(count):
        batch: list[tuple[str, int]] = []
        in_vain: list[str] = []
        while len(batch) < n:
            try:
                draws = stream.take(n - len(batch))
            except DataError as error:
                seen.error = f"DataError: {error}"
                return seen
            for draw in draws:
                kind = draw.item.id.rstrip("0123456789")
                if kind == "good":
                    batch.append((draw.item.id, draw.visit))
                    in_vain = []
                    continue
                if not (skip_long if kind == "long" else skip_bad):
                    seen.error = "PromptTooLong: too long" if kind == "long" else "DataError: broken"
                    return seen
                skipped += 1
                in_vain.append(draw.item.id)
                if set(in_vain) == set(ids):
                    last = "too long" if kind == "long" else "broken"
                    seen.error = f"DataError: none of the {len(ids)} prompts can be used; the last: {last}"
                    return seen
        seen.ids.append(batch)
        seen.states.append(json.dumps(stream.state_dict()))
        seen.skipped.append(skipped)
    return seen


kinds = st.lists(st.sampled_from(["good", "good", "good", "long", "broken"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(kinds, st.integers(1, 5), st.integers(0, 6), st.booleans(), st.booleans())
def test_ahead_and_one_by_one_are_the_same(
    kinds: list[str], n: int, count: int, skip_long: bool, skip_bad: bool
) -> None:
    ids = [f"{kind}{i}" for i, kind in enumerate(kinds)]
    expected = reference(ids, n, count, skip_long=skip_long, skip_bad=skip_bad)
    direct, threaded = Seen(), Seen()
    direct.read(preparer(ids, skip_long=skip_long, skip_bad=skip_bad).batches(n, count))
    with ahead(preparer(ids, skip_long=skip_long, skip_bad=skip_bad).batches(n, count)) as batches:
        threaded.read(batches)
    assert direct == expected
    assert threaded == expected


@settings(deadline=None)
@given(kinds.filter(lambda kinds: "good" in kinds), st.integers(1, 5), st.integers(0, 6), st.integers(0, 6))
def test_a_saved_state_goes_on_where_the_batch_ended(kinds: list[str], n: int, before: int, after: int) -> None:
    """The state of a batch that was handed out, although the stream has been drawn from for the next one."""
    ids = [f"{kind}{i}" for i, kind in enumerate(kinds)]
    n = min(n, len(ids))
    calm = Seen()
    calm.read(preparer(ids).batches(n, before + after))
    saved: Any = preparer(ids).stream.state_dict()
    with ahead(preparer(ids).batches(n, before + after)) as batches:
        for _ in range(before):
            saved = json.loads(json.dumps(next(batches).stream_state))
    resumed = preparer(ids)
    resumed.stream.load_state_dict(saved)
    rest = Seen()
    with ahead(resumed.batches(n, after)) as batches:
        rest.read(batches)
    assert rest.ids == calm.ids[before:] and rest.states == calm.states[before:]


def test_nothing_is_drawn_beyond_the_last_batch() -> None:
    drawn = preparer([f"good{i}" for i in range(20)])
    with ahead(drawn.batches(3, 4)) as batches:
        *_, last = batches
    assert drawn.stream.state_dict() == last.stream_state
    assert last.stream_state["offset"] == 12


def test_the_next_batch_is_encoded_meanwhile() -> None:
    """The second batch waits until the caller, busy with the first, lets it go on: it is the caller who comes first."""
    encoded: list[str] = []
    go_on, done = threading.Event(), threading.Event()

    def slowly(prompt: Prompt) -> EncodedPrompt:
        if len(encoded) == 2:
            assert go_on.wait(30)
        encoded.append(prompt.id)
        if len(encoded) == 4:
            done.set()
        return encode(prompt)

    stream = PromptStream([Prompt(f"good{i}", "?") for i in range(8)], seed=0)
    with ahead(Preparer(stream, slowly, False, False).batches(2, 3)) as batches:  # type: ignore[arg-type]
        first = next(batches)
        go_on.set()
        assert done.wait(30), "the second batch is encoded before it is asked for"
        assert [p.prompt.id for p in first.prompts] == encoded[:2]
        assert [p.prompt.id for p in next(batches).prompts] == encoded[2:4]


def test_skipped_prompts_are_replaced_and_counted() -> None:
    batches = list(preparer(["a", "b", "long", "broken"]).batches(2, 4))
    assert all(sorted(p.prompt.id for p in batch.prompts) == ["a", "b"] for batch in batches)
    assert batches[-1].skipped >= 6


def test_each_kind_is_skipped_only_where_allowed() -> None:
    with pytest.raises(PromptTooLong):
        next(preparer(["a", "long"], skip_long=False).batches(2, 1))
    with pytest.raises(DataError, match="broken"):
        next(preparer(["a", "broken"], skip_bad=False).batches(2, 1))


def test_data_without_any_usable_prompt_ends_with_the_reason() -> None:
    with pytest.raises(DataError, match="none of the 3 prompts can be used; the last: "):
        next(preparer(["long1", "long2", "broken"]).batches(1, 1))


def test_one_usable_prompt_among_many_is_found_however_often_the_others_come_first() -> None:
    """Behind the last prompt of an epoch the next one begins with the useless ones again."""
    batches = list(preparer(["good", *(f"long{i}" for i in range(9))]).batches(1, 20))
    assert [(p.prompt.id, p.visit) for batch in batches for p in batch.prompts] == [("good", i) for i in range(20)]
