"""Labels from the other view: by hand, what the views are, and the question in other words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmupt.answers.equivalence import same
from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Request
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.rewards.base import read_answers
from mmupt.rewards.co_reward import CoReward
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.types import ImageSource, Prompt, RolloutGroup
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]
SMALL = PromptSettings(suffix=" Box it.", min_pixels=3136, max_pixels=3136, max_tokens=120)


def dice(*faces: int) -> ImageSource:
    return ImageSource(data=png_bytes(Dice(faces, ("red", "blue", "blue", "red")).draw()))


def rewarding(tools: Tools, **reward: object) -> CoReward:
    return CoReward(AnswerSettings(), RewardSettings(name="co_reward", **reward), tools, seed=3)  # type: ignore[arg-type]


@pytest.fixture
def co(make_tools: Callable[..., Tools]) -> CoReward:
    return rewarding(make_tools())


@pytest.fixture
def pair(group_of: GroupOf, boxed: Boxed) -> Callable[..., list[RolloutGroup]]:
    def _pair(answers: Sequence[str | None], view: Sequence[str | None], **group: Any) -> list[RolloutGroup]:
        return [group_of(boxed(*answers), **group), group_of(boxed(*view), role="view", **group)]

    return _pair


def test_each_view_is_graded_by_the_other(co: CoReward, pair: Callable[..., list[RolloutGroup]]) -> None:
    """The original says 3 and the view 4: whoever agrees with his own group earns nothing."""
    original, view = co.score(pair(["3", "3", "3", "4"], ["4", "8/2", "4", "3", None]))
    assert original.rewards == (0.0, 0.0, 0.0, 1.0)
    assert view.rewards == (0.0, 0.0, 0.0, 1.0, 0.0)
    assert original.vote.winner is not None and original.vote.winner.answer == "3", "the vote is the group's own"
    assert original.components["teacher_share"] == (0.6,) * 4
    assert view.components["teacher_share"] == (0.75,) * 5
    assert original.set_aside is None and view.set_aside is None


def test_without_a_label_nothing_is_learned(co: CoReward, pair: Callable[..., list[RolloutGroup]]) -> None:
    original, view = co.score(pair(["3", "3", "4"], ["4", "3", None]))  # the view is tied
    assert (original.rewards, original.set_aside) == ((0.0,) * 3, "the other view has no majority")
    assert (view.rewards, view.set_aside) == ((0.0, 1.0, 0.0), None)
    (alone,) = co.score(pair(["3", "3", "4"], ["3"])[:1])
    assert (alone.rewards, alone.set_aside) == ((0.0,) * 3, "the other view has no majority")


def test_prompts_and_visits_never_mix(co: CoReward, pair: Callable[..., list[RolloutGroup]]) -> None:
    groups = [
        *pair(["1", "1", "2"], ["1", "1"], id="a"),
        *pair(["1", "1", "2"], ["2", "2"], id="a", visit=1),
        *pair(["1", "1", "2"], ["7", "7"], id="b"),
    ]
    expected = [(1.0, 1.0, 0.0), (1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0)]
    assert [score.rewards for score in co.score(groups)] == expected
    order = [4, 1, 3, 0, 5, 2]
    assert [score.rewards for score in co.score([groups[i] for i in order])] == [expected[i] for i in order]


def test_against_a_slow_reference(co: CoReward, random_group: Callable[[int], RolloutGroup]) -> None:
    """The majority of the other view by comparing all pairs."""
    some = 0
    for seed in range(60):
        original = random_group(seed)
        view = replace(random_group(1000 + seed), prompt=original.prompt, role="view")
        scores = co.score([view, original])
        for score, own, other in ((scores[0], view, original), (scores[1], original, view)):
            theirs = [a for a in read_answers(other, AnswerSettings()) if a is not None]
            counts = [sum(same(a, b) for b in theirs) for a in theirs]
            most = {a for a, count in zip(theirs, counts, strict=True) if count == max(counts)}
            label = (
                theirs[counts.index(max(counts))] if theirs and all(same(a, b) for a in most for b in most) else None
            )
            answers = read_answers(own, AnswerSettings())
            expected = tuple(float(label is not None and a is not None and same(a, label)) for a in answers)
            assert score.rewards == expected
            some += sum(expected) > 0
    assert some > 40


def test_a_view_is_the_same_prompt_with_other_pictures(
    tiny: LoadedModel, make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    encoder = PromptEncoder(tiny.family, SMALL)
    engine = scripted(lambda text, seed: rf"\boxed{{{seed}}}")
    tools = make_tools(encoder=encoder, engine=engine, group_size=3)
    prompt = Prompt("7", "<image>Same as <image>?", (dice(3, 5, 1, 2), dice(3, 5, 1, 2)))
    group = replace(group_of(boxed("1", "2"), visit=4), prompt=prompt, policy_version=9, encoded=encoder(prompt))
    (view,) = rewarding(tools, views=("crop", "noise")).companions([group])

    assert (view.prompt, view.visit, view.role, view.policy_version) == (prompt, 4, "view", 9)
    assert view.belongs_to == "7"
    assert engine.requests[0].seeds == tuple(derive_seed(3, "view", "7", 4, i) for i in range(3))
    assert engine.samplings == [tools.sampling]
    assert engine.requests[0].encoded is view.encoded
    assert torch.equal(view.encoded.token_ids, group.encoded.token_ids), "the same text, the same number of tokens"
    keys = [picture.key for picture in (*view.encoded.pictures, *group.encoded.pictures)]
    assert len(set(keys)) == 3, "both pictures look otherwise, each in its own way; the originals were one picture"

    (again,) = rewarding(tools, views=("crop", "noise")).companions([group])
    (later,) = rewarding(tools, views=("crop", "noise")).companions([replace(group, visit=5)])
    assert [p.key for p in again.encoded.pictures] == [p.key for p in view.encoded.pictures]
    assert not {p.key for p in later.encoded.pictures} & set(keys)


def test_without_a_picture_the_view_is_a_second_sample(
    make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    engine = scripted(lambda text, seed: r"\boxed{1}")
    (view,) = rewarding(make_tools(engine=engine)).companions([group_of(boxed("1", "2"))])
    assert (view.prompt, view.size) == (Prompt("p", "How many?"), 3)


@pytest.mark.parametrize(
    ("said", "question"),
    [
        (" What is the sum of the 4 dice? ", "What is the sum of the 4 dice?"),
        ("", None),
        ("Add the 4 dice.", None),  # no other words
        (r"3 5 1 2: 11 \boxed{11}, all 4", None),  # an answer
        ("What is <image> the sum of the 4 dice?", None),
        ("What is the sum of all dice?", None),  # the number got lost
        ("What is the sum of the 4 dice and ...", None),  # cut off
        ("What is the sum of the 4 dice?" * 20, None),  # longer than a prompt may be
        ("What is the sum of the 4 dice? <|im_end|>", None),
    ],
)
def test_a_question_in_other_words(
    tiny: LoadedModel,
    make_tools: Callable[..., Tools],
    scripted: Callable[..., Any],
    group_of: GroupOf,
    boxed: Boxed,
    said: str,
    question: str | None,
) -> None:
    engine = scripted(lambda text, seed: said if text.startswith("Say this") else r"\boxed{1}")
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
    prompt = Prompt("7", "<image>Add the 4 dice.", (dice(3, 5, 1, 2),), choices=("11", "12"))
    group = replace(group_of(boxed("1", "2")), prompt=prompt)
    co = rewarding(tools, views=("rephrase",))
    (view,) = co.companions([group])
    expected = prompt.question if question is None else "<image>" + question
    assert view.prompt == replace(prompt, question=expected)

    asked, put = engine.texts()
    assert asked == "Say this question in other words, with the same answer. Question: Add the 4 dice."
    assert not engine.requests[0].encoded.pictures and engine.samplings[0].temperature == 0.0
    assert put == (question or "Add the 4 dice.") + "\nChoices:\n(A) 11\n(B) 12 Box it."

    co.companions([replace(group, visit=1)])
    assert len(engine.requests) == 3, "a question is rephrased once"
    resumed = rewarding(tools, views=("rephrase",))
    resumed.load_state(json.loads(json.dumps(co.state())))
    (view,) = resumed.companions([replace(group, visit=2)])
    assert len(engine.requests) == 4 and view.prompt.question == expected


def test_a_question_around_its_pictures_stays(
    tiny: LoadedModel, make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    engine = scripted(lambda text, seed: "Is it more than that?")
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
    prompt = Prompt("7", "Is <image> more?", (dice(3, 5, 1, 2),))
    (view,) = rewarding(tools, views=("rephrase", "crop")).companions([replace(group_of(boxed("1")), prompt=prompt)])
    assert view.prompt == prompt and len(engine.requests) == 1


def test_end_to_end(tiny: LoadedModel, make_tools: Callable[..., Tools]) -> None:
    """The tiny model answers both views; the same seed asks and answers the same, whatever the order."""
    encoder = PromptEncoder(tiny.family, SMALL)
    tools = make_tools(encoder=encoder, max_new_tokens=8)
    every: dict[str, object] = {"views": ("crop", "rotate", "recolour", "rescale", "noise", "rephrase")}
    prompts = [Prompt("a", "<image>Add all dice.", (dice(3, 5, 1, 2),)), Prompt("b", "Largest die?")]
    requests = [Request(encoder(prompt), (1, 2, 3)) for prompt in prompts]
    answered = tools.engine.generate(requests, tools.sampling)
    groups = [RolloutGroup(p, r.encoded, a) for p, r, a in zip(prompts, requests, answered, strict=True)]
    co = rewarding(tools, **every)
    views = co.companions(groups)
    assert [(view.prompt.id, view.size) for view in views] == [("a", 3), ("b", 3)]
    assert [len(score.rewards) for score in co.score([*groups, *views])] == [3] * 4
    again = rewarding(tools, **every).companions(groups[::-1])[::-1]
    assert [[r.token_ids for r in v.rollouts] for v in again] == [[r.token_ids for r in v.rollouts] for v in views]
