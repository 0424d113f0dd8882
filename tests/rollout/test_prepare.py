"""Drawing prompts: what is skipped is replaced, counted, and allowed."""

from __future__ import annotations

import pytest
import torch

from mmupt.data.stream import PromptStream
from mmupt.errors import DataError
from mmupt.models.encoding import PromptTooLong
from mmupt.rollout.prepare import Preparer
from mmupt.types import EncodedPrompt, Prompt


def encoder(prompt: Prompt) -> EncodedPrompt:
    if "long" in prompt.id:
        raise PromptTooLong("too long")
    if "broken" in prompt.id:
        raise DataError("broken")
    return EncodedPrompt(torch.tensor([1]), torch.zeros(3, 1, dtype=torch.long), 1, {})


def preparer(ids: list[str], *, skip_long: bool = True, skip_bad: bool = True) -> Preparer:
    stream = PromptStream([Prompt(i, "?") for i in ids], seed=0)
    return Preparer(stream, encoder, skip_long, skip_bad)  # type: ignore[arg-type]


def test_skipped_prompts_are_replaced_and_counted() -> None:
    drawn = preparer(["a", "b", "long", "broken"])
    for _ in range(4):
        assert sorted(p.prompt.id for p in drawn.take(2)) == ["a", "b"]
    assert drawn.skipped["long"] >= 3 and drawn.skipped["broken"] >= 3


def test_each_kind_is_skipped_only_where_allowed() -> None:
    with pytest.raises(PromptTooLong):
        preparer(["a", "long"], skip_long=False).take(2)
    with pytest.raises(DataError, match="broken"):
        preparer(["a", "broken"], skip_bad=False).take(2)


def test_data_without_any_usable_prompt_ends_with_the_reason() -> None:
    with pytest.raises(DataError, match="none of the 3 prompts can be used; the last: "):
        preparer(["long1", "long2", "broken"]).take(1)
