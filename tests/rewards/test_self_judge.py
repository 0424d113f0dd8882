"""The bounded judge: by hand with a judge made up, and with the tiny model as its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import PromptSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.rewards.judging import p_yes
from mmupt.rewards.self_judge import SelfJudge
from mmupt.rewards.settings import JUDGE_PROMPT, RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, ImageSource, Prompt, RolloutGroup
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]
SURE = {"1": 0.0, "2": 1.0, "3": 0.5}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A judge that thinks as SURE says; the list takes down (prompt id, answer) of what it was asked."""
    heard: list[tuple[str, str]] = []

    def made_up(asked: Sequence[tuple[Prompt, str]], template: str, tools: Tools) -> list[float]:
        heard.extend((prompt.id, answer) for prompt, answer in asked)
        return [SURE[answer] for _, answer in asked]

    monkeypatch.setattr("mmupt.rewards.self_judge.p_yes", made_up)
    return heard


def judged(tools: Tools, groups: Sequence[RolloutGroup], **reward: object) -> list[GroupScore]:
    settings = RewardSettings(name="self_judge", **reward)  # type: ignore[arg-type]
    return SelfJudge(AnswerSettings(), settings, tools, seed=0).score(groups)


def test_by_hand(
    make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed, asked: list[tuple[str, str]]
) -> None:
    """Four of eight say 1 (a factor of 0.8), two say 2 (1.2), one says 3 (1.0), one nothing."""
    group = group_of(boxed("1", "1.0", "1", "2", "2", None, "3", "1"))
    (score,) = judged(make_tools(), [group])
    assert score.rewards == pytest.approx((0.4, 0.4, 0.4, 0.3, 0.3, 0.0, 0.125, 0.4))
    assert score.components["judge"] == pytest.approx((0.8, 0.8, 0.8, 1.2, 1.2, 0.0, 1.0, 0.8))
    assert asked == [("p", "1"), ("p", "2"), ("p", "3")], "one question a cluster"
    (score,) = judged(make_tools(), [group], judge_range=(0.0, 2.0))
    assert score.rewards == pytest.approx((0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.125, 0.0))


def test_where_the_vote_is_certain_nobody_is_asked(
    make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed, asked: list[tuple[str, str]]
) -> None:
    certain = group_of(boxed(*"2222222", None), id="certain")  # 7 of 8: above 0.85
    open_one = group_of(boxed("1", "1", "3", "2"), id="open")
    silent = group_of(boxed(None, None), id="silent")
    scores = judged(make_tools(), [certain, open_one, silent])
    assert scores[0].rewards == (1.0,) * 7 + (0.0,)
    assert scores[1].rewards == pytest.approx((0.4, 0.4, 0.25, 0.3)), "answers are judged by their own names"
    assert scores[2].rewards == (0.0, 0.0)
    assert {id for id, _ in asked} == {"open"}
    at_the_border = judged(make_tools(), [certain], certain_share=0.875)
    assert at_the_border[0].rewards == pytest.approx((0.875 * 1.2,) * 7 + (0.0,)), "not above it"


def test_a_tie_is_judged_and_a_missed_quorum_is_not(
    make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed, asked: list[tuple[str, str]]
) -> None:
    tie = group_of(boxed("1", "2", "2", "1"))
    assert judged(make_tools(), [tie])[0].rewards == pytest.approx((0.4, 0.6, 0.6, 0.4))
    few = group_of(boxed("1", "2", "2", None, None, None), id="few")
    assert judged(make_tools(), [few], quorum=0.6)[0].rewards == (0.0,) * 6
    assert judged(make_tools(), [few], quorum=0.5)[0].rewards == pytest.approx((0.8 / 6, 0.4, 0.4, 0.0, 0.0, 0.0))
    assert ("few", "1") in asked


def test_order_changes_nothing(
    make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed, asked: list[tuple[str, str]]
) -> None:
    groups = [
        group_of(boxed("1", "1", "2"), id="a"),
        group_of(boxed("3", "2", "2"), id="b"),
        group_of(boxed("1", "1", "1"), id="c"),
    ]
    forwards = judged(make_tools(), groups)
    assert forwards == judged(make_tools(), groups[::-1])[::-1]
    turned = replace(groups[1], rollouts=groups[1].rollouts[::-1])
    assert judged(make_tools(), [turned])[0].rewards == forwards[1].rewards[::-1]


def test_end_to_end(tiny: LoadedModel, make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed) -> None:
    small = PromptSettings(suffix="", min_pixels=3136, max_pixels=3136)
    tools = make_tools(encoder=PromptEncoder(tiny.family, small))
    picture = ImageSource(data=png_bytes(Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()))
    group = group_of(boxed("11", "11", "12", None))
    group = replace(group, prompt=Prompt("p", "<image>Add all dice.", (picture,)))
    (score,) = judged(tools, [group])
    eleven, twelve = (p_yes([(group.prompt, answer)], JUDGE_PROMPT, tools)[0] for answer in ("11", "12"))
    assert 0 < eleven < 1 and 0 < twelve < 1 and eleven != twelve
    expected = (0.5 * (0.8 + 0.4 * eleven), 0.5 * (0.8 + 0.4 * eleven), 0.25 * (0.8 + 0.4 * twelve), 0.0)
    assert score.rewards == pytest.approx(expected, abs=1e-5)
