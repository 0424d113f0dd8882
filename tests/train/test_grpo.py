"""The loop's small parts."""

from __future__ import annotations

from typing import cast

from mmupt.train.grpo import _together
from mmupt.types import EncodedPrompt, Prompt, Role, Rollout, RolloutGroup

NO_TENSORS = cast(EncodedPrompt, None)


def group(id: str, role: Role = "answer", about: str | None = None) -> RolloutGroup:
    return RolloutGroup(Prompt(id, "?"), NO_TENSORS, (Rollout((1,), (0.0,), "", "end"),), role=role, about=about)


def test_companions_stand_behind_the_group_that_they_are_about() -> None:
    """Whatever their own prompts are called, and in whichever order a reward has made them."""
    companions = [
        group("c#verify-majority", "verification", "c"),
        group("b", "view"),
        group("a#verify-majority", "verification", "a"),
        group("a#verify-minority", "verification", "a"),
    ]
    together = _together([group("b"), group("a"), group("c")], companions)
    assert [g.prompt.id for g in together] == [
        "b", "b", "a", "a#verify-majority", "a#verify-minority", "c", "c#verify-majority",
    ]  # fmt: skip
    assert [g.role for g in together][:3] == ["answer", "view", "answer"]
