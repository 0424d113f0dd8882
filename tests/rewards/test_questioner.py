"""The questioner's reward: by hand, and with the tiny model as who answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import PromptSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.questions.sameness import similarity
from mmupt.rewards.base import checked
from mmupt.rewards.questioner import Questioner, repetition, uncertainty
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import GroupScore, ImageSource, Prompt, RolloutGroup
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice
from mmupt.world.skills import ASK

GroupOf = Callable[..., RolloutGroup]
MakeTools = Callable[..., Tools]
PICTURE = ImageSource(data=png_bytes(Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()))
SMALL = PromptSettings(suffix="", min_pixels=3136, max_pixels=3136)


def asking(group: RolloutGroup) -> RolloutGroup:
    """The group's responses to the world's prompt that asks for a question."""
    return replace(group, prompt=Prompt(group.prompt.id, f"<image>{ASK}", (PICTURE,)))


@pytest.fixture
def scored(tiny: LoadedModel, make_tools: MakeTools, scripted: Callable[..., Any]) -> Callable[..., Any]:
    """`scored(groups, say, **reward)`: (scores, engine) with an engine that answers as `say(question, turn)` does;
    turns count the answers to a question from 0."""

    def _scored(groups: list[RolloutGroup], say: Callable[[str, int], str], **reward: Any) -> Any:
        turns: dict[str, int] = {}

        def answer(text: str, seed: int) -> str:
            turns[text] = turns.get(text, -1) + 1
            return say(text, turns[text])

        engine = scripted(answer)
        tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
        settings = RewardSettings.model_validate(
            {"name": "questioner", "solver_size": 4, "answer_suffix": "", **reward}
        )
        return Questioner(AnswerSettings(), settings, tools, seed=0).score(groups), engine

    return _scored


def says(text: str, turn: int) -> str:
    """Largest: all agree. Add: two of four. Smallest: three of four. Range: one of four could be read."""
    answers = {"Largest": "5555", "Add": "1122", "Smallest": "1112", "Difference": "4???"}
    given = next(a for begin, a in answers.items() if text.startswith(begin))[turn]
    return "no answer" if given == "?" else rf"\boxed{{{given}}}"


def test_by_hand(group_of: GroupOf, scored: Callable[..., Any]) -> None:
    """Six responses: one question in two spellings, three others, and one that asks nothing. Shares of the majority: 1,
    1, 1/2, 3/4, 1/4; the two are the same question, so each has one other of six: a penalty of 1/6."""
    responses = [
        "Largest die?",
        "Question: largest die?",
        "Add all dice.",
        "Smallest die?",
        "Difference of the two?",
        "Dice.",
    ]
    (score,), engine = scored([asking(group_of(responses))], says_any_case)
    assert score.components["solver_share"] == (1.0, 1.0, 0.5, 0.75, 0.25, 0.0)
    assert score.components["repetition"] == pytest.approx((1 / 6, 1 / 6, 0, 0, 0, 0))
    assert score.rewards == pytest.approx((0 - 1 / 6, 0 - 1 / 6, 0.5, 0.25, 0.25, -1.0))
    assert score.vote.answers == ("Largest die?", "largest die?", "Add all dice.", "Smallest die?", responses[4], None)
    assert [cluster.members for cluster in score.vote.clusters] == [(0, 1), (2,), (3,), (4,)]
    assert score.vote.winner is None and not score.vote.tie and score.vote.share == pytest.approx(2 / 6)
    assert all(len(request.seeds) == 4 for request in engine.requests)
    assert all(len(request.encoded.pictures) == 1 for request in engine.requests), "asked about the same picture"


def says_any_case(text: str, turn: int) -> str:
    return says(text[0].upper() + text[1:], turn)


def test_weight_and_quorum(group_of: GroupOf, scored: Callable[..., Any]) -> None:
    group = asking(group_of(["Largest die?", "Largest die?", "Difference of the two?", "nothing"]))
    (score,), engine = scored([group], says, repetition_weight=0.4, quorum=0.5)
    assert score.rewards == pytest.approx((-0.1, -0.1, 0.0, -0.4)), "one readable answer of four is no quorum"
    assert len(engine.requests) == 2, "the same words are answered once"
    (free,), _ = scored([group], says, repetition_weight=0.0)
    assert free.rewards == pytest.approx((0.0, 0.0, 0.25, 0.0))


def test_as_many_answers_as_questions_by_default(group_of: GroupOf, scored: Callable[..., Any]) -> None:
    group = asking(group_of(["Largest die?", "Add all dice.", "Smallest die?"]))
    _, engine = scored([group], says, solver_size=0)
    assert [len(request.seeds) for request in engine.requests] == [3, 3, 3]


def test_what_is_answered_has_its_own_suffix(
    tiny: LoadedModel, make_tools: MakeTools, scripted: Any, group_of: GroupOf
) -> None:
    engine = scripted(lambda text, seed: r"\boxed{1}")
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
    reward = RewardSettings(name="questioner", answer_suffix=" Think first.")
    Questioner(AnswerSettings(), reward, tools, seed=0).score([asking(group_of(["Largest die?", "Add all dice."]))])
    assert engine.texts() == ["Largest die? Think first.", "Add all dice. Think first."]


def test_a_question_too_long_to_be_put_is_a_question_without_answers(
    tiny: LoadedModel, make_tools: MakeTools, scripted: Any, group_of: GroupOf
) -> None:
    tight = PromptEncoder(tiny.family, SMALL.model_copy(update={"max_tokens": 60}))
    tools = make_tools(encoder=tight, engine=scripted(lambda text, seed: rf"\boxed{{{seed % 2}}}"))
    reward = RewardSettings(name="questioner", answer_suffix="")
    group = asking(group_of(["Largest die?", "How many " + "red " * 80 + "dice?"]))
    (score,) = Questioner(AnswerSettings(), reward, tools, seed=0).score([group])
    assert score.components["solver_share"][0] > 0 and score.rewards[1] == 0.0


def test_order_changes_nothing(group_of: GroupOf, scored: Callable[..., Any]) -> None:
    """Neither of groups nor within them: an answer's seed comes from the question's words."""
    groups = [
        asking(group_of(["Largest die?", "Add all dice.", "Largest die?", "x"], id="a")),
        asking(group_of(["Smallest die?", "Add all dice.", "Difference of the two?", "y"], id="b", visit=3)),
    ]

    def by_seed(text: str, seed: int) -> str:
        return rf"\boxed{{{seed % 3}}}"

    def scores(order: list[RolloutGroup]) -> list[GroupScore]:
        found, engine = scored(order, lambda text, turn: "")
        engine.say = by_seed
        return found

    assert [s.components["repetition"] for s in scores(groups)] == [
        s.components["repetition"] for s in scores(groups[::-1])
    ][::-1]
    turned = replace(groups[0], rollouts=groups[0].rollouts[::-1])
    assert scores([turned])[0].rewards == scores([groups[0]])[0].rewards[::-1]


def test_the_formula_on_random_groups() -> None:
    """Against loops that read like the definition."""
    words = ["red", "blue", "die", "dice", "many", "how", "largest", "add"]
    for seed in range(50):
        rng = random.Random(seed)
        texts = [
            rng.choice([None, " ".join(rng.choices(words, k=rng.randint(1, 4)))]) for _ in range(rng.randint(1, 9))
        ]
        linked = {i: {i} for i, text in enumerate(texts) if text is not None}
        for _ in texts:  # as often as the longest chain may be
            for i in linked:
                for j in linked:
                    if texts[i] == texts[j] or similarity(texts[i] or "", texts[j] or "") >= 0.7:
                        linked[i] |= linked[j]
        expected = [(len(linked[i]) - 1) / len(texts) if i in linked else 0.0 for i in range(len(texts))]
        assert repetition(texts) == pytest.approx(expected)
    assert [uncertainty(s) for s in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 0.25, 0.5, 0.25, 0.0]


def test_end_to_end(tiny: LoadedModel, make_tools: MakeTools, group_of: GroupOf) -> None:
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), max_new_tokens=6)
    reward = RewardSettings(name="questioner", answer_suffix="", solver_size=3)
    group = asking(group_of(["Largest die?", "Add all dice.", "nothing"]))
    (score,) = Questioner(AnswerSettings(), reward, tools, seed=0).score([group])
    assert checked(score, group).rewards[2] == -1.0
    assert all(-1.0 < r <= 0.5 for r in score.rewards[:2])


def test_the_guard_cannot_watch_who_asks() -> None:
    from pydantic import ValidationError

    from mmupt.train.settings import GrpoStage

    stage = {
        "kind": "upt",
        "name": "ask",
        "steps": 1,
        "data": {"path": "world:unlabeled"},
        "reward": {"name": "questioner"},
    }
    with pytest.raises(ValidationError, match=r"set guard\.enabled = false"):
        GrpoStage.model_validate(stage)
    assert GrpoStage.model_validate({**stage, "guard": {"enabled": False}}).reward.name == "questioner"
