"""Which groups are learned from: every reason, which of them counts, and the weight of what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import pytest
from pydantic import ValidationError

from mmupt.answers.vote import vote
from mmupt.guard.memory import PromptMemory
from mmupt.guard.settings import SelectionSettings
from mmupt.train.selection import Selection, select
from mmupt.types import EncodedPrompt, GroupScore, Prompt, Rollout, RolloutGroup

NO_TENSORS = cast(EncodedPrompt, None)
BELOW, ABOVE, AGREE, OFTEN = "share below the band", "share above the band", "unanimous", "visited often enough"
Scored = tuple[RolloutGroup, GroupScore]


def scored(
    answers: Sequence[str | None], *, teacher: float | None = None, set_aside: str | None = None, **group: Any
) -> Scored:
    """A group with its score; `teacher` is the share of a teacher's vote."""
    rollouts = tuple(Rollout((1,), (0.0,), "", "end") for _ in answers)
    made = RolloutGroup(Prompt(group.pop("id", "p"), "?"), NO_TENSORS, rollouts, **group)
    components = {} if teacher is None else {"teacher_share": (teacher,) * len(answers)}
    return made, GroupScore((0.0,) * len(answers), vote(answers), components, set_aside=set_aside)


def selected(pairs: Sequence[Scored], memory: PromptMemory | None = None, **settings: Any) -> Selection:
    groups, scores = zip(*pairs, strict=True)
    return select(SelectionSettings(**settings), groups, scores, memory or PromptMemory())


def reason(pair: Scored, **settings: Any) -> str | None:
    found = selected([pair], **settings)
    assert sum(found.reasons.values()) == (found.weights[0] == 0)
    return next(iter(found.reasons), None)


def test_without_a_wish_everything_is_learned_from() -> None:
    """But what the reward has set aside."""
    pairs = [
        scored(["1", "1"]),
        scored([None, None]),
        scored(["1", "2"], visit=99),
        scored(["1", "1"], set_aside="no majority"),
    ]
    assert selected(pairs) == Selection((1.0, 1.0, 1.0, 0.0), Counter({"no majority": 1}))


def test_the_band_keeps_its_ends() -> None:
    shares = {0.25: BELOW, 0.5: None, 0.75: None, 1.0: ABOVE}
    for share, expected in shares.items():
        answers = ["7"] * int(4 * share) + [str(i) for i in range(4 - int(4 * share))]
        assert reason(scored(answers), share=(0.5, 0.75)) == expected
    assert reason(scored([None, None]), share=(0.1, 1.0)) == BELOW, "nobody can be read: a share of zero"


def test_with_a_teacher_it_is_his_share_that_counts() -> None:
    assert reason(scored(["1", "1"], teacher=0.3), share=(0.5, 1.0)) == BELOW
    assert reason(scored(["1", "2"], teacher=1.0), share=(0.0, 0.8)) == ABOVE
    assert reason(scored(["1", "2", "3", "4"], teacher=0.6), share=(0.5, 0.8)) is None


def test_unanimous_is_said_of_readable_answers() -> None:
    assert reason(scored(["1", "1.0", None]), drop_unanimous=True) == AGREE
    assert reason(scored(["1", "2"]), drop_unanimous=True) is None
    assert reason(scored([None, None]), drop_unanimous=True) is None, "nobody agrees with anybody"
    assert reason(scored(["1", "1"])) is None


def test_visits_are_counted_from_zero() -> None:
    found = [reason(scored(["1", "2"], visit=visit), max_visits=2) for visit in range(4)]
    assert found == [None, None, OFTEN, OFTEN]


def test_the_first_reason_counts() -> None:
    """In the order: set aside, the band, unanimous, visits."""
    everything: dict[str, Any] = {"drop_unanimous": True, "max_visits": 1}
    all_of_them = {"visit": 3}
    assert reason(scored(["1", "1"], set_aside="tied", **all_of_them), share=(0.0, 0.5), **everything) == "tied"
    assert reason(scored(["1", "1"], **all_of_them), share=(0.0, 0.5), **everything) == ABOVE
    assert reason(scored(["1", "1"], teacher=0.2, **all_of_them), share=(0.5, 1.0), **everything) == BELOW
    assert reason(scored(["1", "1"], **all_of_them), **everything) == AGREE
    assert reason(scored(["1", "2"], **all_of_them), **everything) == OFTEN
    pairs = [scored(["1", "1"]), scored(["1", "1"]), scored(["1", "2"], **all_of_them), scored(["1", "2"])]
    assert selected(pairs, **everything) == Selection((0.0, 0.0, 0.0, 1.0), Counter({AGREE: 2, OFTEN: 1}))


@pytest.fixture
def memory() -> PromptMemory:
    """Prompt "often" has flipped at 2 of 4 comparisons, "always" at every one, "never" at none."""
    memory = PromptMemory()
    for id, answers in {"often": "12211", "always": "121", "never": "111"}.items():
        for answer in answers:
            memory.remember(Prompt(id, "?"), vote([answer]))
    return memory


def test_flips_weigh_a_prompt_down(memory: PromptMemory) -> None:
    pairs = [scored(["1", "2"], id=id) for id in ("often", "always", "never", "unknown")]
    assert selected(pairs, memory).weights == (1.0,) * 4
    found = selected(pairs, memory, flip_weight=True)
    assert found.weights == (0.5, 0.0, 1.0, 1.0)
    assert not found.reasons, "weighed down to nothing is not left out for a reason"


def test_companions_have_the_weight_of_their_prompt_and_no_band_of_their_own(memory: PromptMemory) -> None:
    """Their votes say something else (the share of yes among verifications, say), so only what the reward itself sets
    aside is left out."""
    view = scored(["1", "1"], id="often", role="view", visit=5)
    check = scored(["1", "1"], id="often#verify", role="verification", about="often", visit=5)
    refused = scored(["1", "1"], id="often", role="view", set_aside="no label")
    strict: dict[str, Any] = {"share": (0.0, 0.9), "drop_unanimous": True, "max_visits": 1, "flip_weight": True}
    found = selected([view, check, refused], memory, **strict)
    assert found == Selection((0.5, 0.5, 0.0), Counter({"no label": 1}))


@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.1), (-0.1, 1.0), (0.0, 1.1)])
def test_a_band_must_be_one(share: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="must rise and lie between 0 and 1"):
        SelectionSettings(share=share)
