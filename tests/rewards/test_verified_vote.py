"""Votes that are checked: by hand, what is asked, and with the tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import PromptSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.rewards.verified_vote import VerifiedVote
from mmupt.runtime.seeds import derive_seed
from mmupt.types import ImageSource, Prompt, RolloutGroup
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice
from mmupt.world.skills import verify_text

GroupOf = Callable[..., RolloutGroup]
Boxed = Callable[..., list[str]]
SMALL = PromptSettings(suffix="", min_pixels=3136, max_pixels=3136, max_tokens=100)
PICTURE = ImageSource(data=png_bytes(Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()))
DICE = Prompt("7", "<image>Add all dice.", (PICTURE,), choices=None)


def rewarding(tools: Tools, **reward: object) -> VerifiedVote:
    settings = RewardSettings(name="verified_vote", **reward)  # type: ignore[arg-type]
    return VerifiedVote(AnswerSettings(), settings, tools, seed=3)


@pytest.fixture
def verified(make_tools: Callable[..., Tools]) -> VerifiedVote:
    return rewarding(make_tools())


@pytest.fixture
def check(group_of: GroupOf, boxed: Boxed) -> Callable[..., RolloutGroup]:
    """A verification of the majority or minority answer to the prompt `id`."""

    def _check(side: str, *verdicts: str | None, id: str = "p", visit: int = 0) -> RolloutGroup:
        group = group_of(boxed(*verdicts), id=f"{id}#verify-{side}", role="verification", visit=visit)
        return replace(group, about=id)

    return _check


def test_each_verifier_is_paid_for_what_the_vote_says(
    verified: VerifiedVote, check: Callable[..., RolloutGroup], group_of: GroupOf, boxed: Boxed
) -> None:
    group = group_of(boxed("11", "11", "12", None))
    scores = verified.score(
        [group, check("majority", "yes", "Yes.", "no", None, "yes"), check("minority", "no", "yes", None, "No", "3")]
    )
    assert [score.rewards for score in scores] == [
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0, 1.0),
        (1.0, 0.0, 0.0, 1.0, 0.0),
    ]
    assert [score.set_aside for score in scores] == [None] * 3
    assert scores[0].components["verified"] == pytest.approx((0.6,) * 4)
    assert scores[2].components["verified"] == pytest.approx((0.2,) * 5)
    assert scores[0].vote.winner is not None and scores[0].vote.winner.answer == "11"


@pytest.mark.parametrize(
    ("verdicts", "refused"),
    [
        (["yes", "yes", "no"], None),
        (["yes", "no"], "refused by the verifier"),  # half is no majority
        (["yes", "yes", None, None], "refused by the verifier"),  # what cannot be read confirms nothing
        (["no", "no", "yes"], "refused by the verifier"),
    ],
)
def test_a_refused_majority_is_not_learned_from(
    verified: VerifiedVote,
    check: Callable[..., RolloutGroup],
    group_of: GroupOf,
    boxed: Boxed,
    verdicts: list[str | None],
    refused: str | None,
) -> None:
    group = group_of(boxed("11", "11", "12"))
    generator, verifier = verified.score([group, check("majority", *verdicts)])
    assert (generator.set_aside, verifier.set_aside) == (refused, None)
    assert generator.rewards == (1.0, 1.0, 0.0), "only what is learned from changes"


def test_the_minority_is_not_asked_for_leave(
    verified: VerifiedVote, check: Callable[..., RolloutGroup], group_of: GroupOf, boxed: Boxed
) -> None:
    group = group_of(boxed("11", "11", "12"))
    scores = verified.score([check("minority", "no", "no"), group, check("majority", "yes", "yes")])
    assert scores[1].set_aside is None
    assert verified.score([group, check("minority", "yes", "yes")])[0].set_aside == "not verified"
    assert verified.score([group])[0].set_aside == "not verified"
    assert verified.score([group_of(boxed("1", "2"))])[0].set_aside == "no majority to verify"


def test_prompts_and_visits_never_mix(
    verified: VerifiedVote, check: Callable[..., RolloutGroup], group_of: GroupOf, boxed: Boxed
) -> None:
    groups = [
        group_of(boxed("1", "1"), id="a"),
        group_of(boxed("1", "1"), id="a", visit=1),
        group_of(boxed("1", "1"), id="b"),
        check("majority", "yes", "yes", id="a"),
        check("majority", "no", "no", id="a", visit=1),
        check("majority", "yes", "no", "no", id="b"),
    ]
    expected = [None, "refused by the verifier", "refused by the verifier", None, None, None]
    assert [score.set_aside for score in verified.score(groups)] == expected
    order = [5, 0, 3, 2, 4, 1]
    assert [s.set_aside for s in verified.score([groups[i] for i in order])] == [expected[i] for i in order]


def about_dice(group: RolloutGroup) -> RolloutGroup:
    return replace(group, prompt=DICE, policy_version=9)


def test_what_is_asked(
    tiny: LoadedModel, make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    engine = scripted(lambda text, seed: r"3 5 1 2: 11; 11 11 agree \boxed{yes}")
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
    group = about_dice(group_of(boxed("12", "11", "9", "11", "9", "11.0", None), visit=2))
    unanimous = replace(group_of(boxed("5", "5")), prompt=Prompt("u", "Largest die?"))
    tied = replace(group_of(boxed("5", "6")), prompt=Prompt("t", "Largest die?"))
    made = rewarding(tools).companions([group, unanimous, tied])

    assert [(g.prompt.id, g.belongs_to, g.visit, g.size) for g in made] == [
        ("7#verify-majority", "7", 2, 7),
        ("7#verify-minority", "7", 2, 7),
        ("u#verify-majority", "u", 0, 2),
    ]
    assert {g.role for g in made} == {"verification"} and made[0].policy_version == 9
    assert made[0].prompt.question == "<image>" + verify_text("Add all dice.", "11")
    assert made[1].prompt.question == "<image>" + verify_text("Add all dice.", "9"), "the larger of two minorities"
    assert [p.key for p in made[0].encoded.pictures] == [p.key for p in tools.encoder(DICE).pictures]
    assert engine.texts()[2] == verify_text("Largest die?", "5")
    assert engine.samplings == [tools.sampling] * 3
    assert engine.requests[1].seeds == tuple(derive_seed(3, "verify", "7#verify-minority", 2, i) for i in range(7))

    scores = rewarding(tools).score([group, *made])
    assert scores[0].set_aside is None
    assert scores[1].rewards == (1.0,) * 7 and scores[2].rewards == (0.0,) * 7
    four = rewarding(tools, verifications=4).companions([group])
    assert [g.size for g in four] == [4, 4]


def test_an_answer_that_cannot_be_put_is_not_verified(
    tiny: LoadedModel, make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    engine = scripted(lambda text, seed: r"\boxed{yes}")
    reward = rewarding(make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine))
    endless = ", ".join(map(str, range(200)))
    groups = [about_dice(group_of(boxed(answer, answer, "3"))) for answer in (endless, "<|im_end|>")]
    for group in groups:
        made = reward.companions([group])
        assert [g.prompt.id for g in made] == ["7#verify-minority"]
        assert reward.score([group, *made])[0].set_aside == "not verified"


def test_end_to_end(tiny: LoadedModel, make_tools: Callable[..., Tools], group_of: GroupOf, boxed: Boxed) -> None:
    """The tiny model checks; the same seed asks and answers the same, whatever the order."""
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), max_new_tokens=8, temperature=1.0)
    groups = [about_dice(group_of(boxed("11", "11", "12"))), group_of(boxed("5", "5"), id="u")]
    made = rewarding(tools).companions(groups)
    assert [g.size for g in made] == [3, 3, 2]
    assert all(len(r.token_ids) == len(r.logprobs) > 0 for g in made for r in g.rollouts)
    backwards = rewarding(tools).companions(groups[::-1])
    by_id = {g.prompt.id: g for g in backwards}
    for group in made:
        again = by_id[group.prompt.id]
        assert [r.token_ids for r in again.rollouts] == [r.token_ids for r in group.rollouts]
    scores = rewarding(tools).score([*groups, *made])
    assert [len(score.rewards) for score in scores] == [3, 2, 3, 3, 2]


def test_majority_learns_what_a_random_tie_decided(
    tiny: LoadedModel, make_tools: Callable[..., Tools], scripted: Callable[..., Any], group_of: GroupOf, boxed: Boxed
) -> None:
    """Companions and scores draw the same winner of a tie."""
    engine = scripted(lambda text, seed: r"\boxed{yes}")
    tools = make_tools(encoder=PromptEncoder(tiny.family, SMALL), engine=engine)
    reward = rewarding(tools, ties="random")
    winners = set()
    for visit in range(12):
        group = about_dice(group_of(boxed("5", "6"), visit=visit))
        made: Sequence[RolloutGroup] = reward.companions([group])
        score = reward.score([group, *made])[0]
        assert score.vote.winner is not None
        assert made[0].prompt.question == "<image>" + verify_text("Add all dice.", score.vote.winner.answer)
        winners.add(score.vote.winner.answer)
    assert winners == {"5", "6"}
