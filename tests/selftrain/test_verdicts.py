"""The model's verdicts on its own answers: who is asked what, and what is read from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mmupt.rewards.judging import p_yes
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.settings import VerdictSettings
from mmupt.selftrain.templates import CHECK
from mmupt.selftrain.verdicts import Judge, read_points

HeardOf = Callable[..., Heard]


def judged(shop: Any, heard: Sequence[Heard]) -> list[tuple[float | None, ...] | None]:
    judge = Judge(shop.stage.verdict, shop.stage.answers, shop.tools, seed=shop.context.seed)
    return [said.scores for said in judge(heard)]


def shop_of(workshop: Callable[..., Any], say: Any, **verdict: Any) -> Any:
    return workshop(say, kind="pairs", prefer="judge", verdict=verdict)


def test_p_yes_of_each_answer_once(workshop: Callable[..., Any], heard_of: HeardOf) -> None:
    shop = shop_of(workshop, None)
    one, two = heard_of("11", "12", None, "11.0", id="a"), heard_of(None, id="b")
    scores, none = judged(shop, [one, two])
    expected = p_yes([(one.prompt, "11"), (one.prompt, "12")], CHECK, shop.tools)
    assert scores == (expected[0], expected[1], None, expected[0]) and none == (None,)
    assert expected[0] != expected[1]


def test_sampled_verdicts_are_the_share_of_yes(workshop: Callable[..., Any], heard_of: HeardOf) -> None:
    def say(text: str, seed: int) -> str:
        if "Answer: 3 " in text:
            return "I cannot say"
        return r"\boxed{yes}" if "Answer: 1 " in text or seed % 2 else r"\boxed{No}"

    shop = shop_of(workshop, say, by="sampled", samples=8)
    (scores,) = judged(shop, [heard_of("1", "2", "2.0", "3", None)])
    assert scores is not None and scores[0] == 1.0 and scores[3] == 0.0 and scores[4] is None
    seeds = next(
        r.seeds for r, text in zip(shop.engine.requests, shop.engine.asked, strict=True) if "Answer: 2 " in text
    )
    assert scores[1] == scores[2] == sum(seed % 2 for seed in seeds) / 8
    assert len(shop.engine.asked) == 3 and len(set(seeds)) == 8, "one question an answer"


def test_points_are_given_to_whole_responses(workshop: Callable[..., Any], heard_of: HeardOf) -> None:
    def say(text: str, seed: int) -> str:
        assert "Question: How many?" in text
        if "thirty" in text:
            return "It is nonsense."
        return f"fine. Score: {5 if 'splendid' in text else seed % 2}"

    shop = shop_of(workshop, say, by="points", samples=8)
    heard = heard_of("1", "1", "2", None, texts=["b", "splendid", "b", "thirty"])
    (scores,) = judged(shop, [heard])
    assert scores is not None and scores[1] == 5.0 and scores[3] is None and scores[0] == scores[2]
    assert scores[0] is not None and 0 < scores[0] < 1, "the mean of eight"
    assert len(shop.engine.asked) == 3, "each text once, also one without an answer"


def test_a_verdict_may_be_as_long_as_prompt_response_and_template_together(
    workshop: Callable[..., Any], heard_of: HeardOf
) -> None:
    """`prompt.max_tokens` bounds the questions of the data; what is judged comes on top of them."""
    shop = shop_of(workshop, lambda text, seed: "Score: 3", by="points")
    tokens = len(shop.tools.loaded.family.tokenizer(shop.stage.verdict.template)["input_ids"])
    assert tokens > shop.stage.prompt.max_tokens, "the template alone would not fit"
    (scores,) = judged(shop, [heard_of("1", "1", texts=["long " * 500, "short"])])
    assert scores == (None, 3.0), "nor does what no response could be"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("Score: 3", 3.0), ("so the score is\n**Score:** 4.5", 4.5), ("Score: 2 ... no. Score: 4", 4.0),
        ("SCORE = 0", 0.0), ("Score: 4/5", 4.0), ("Score: 7", None), ("Score: -1", None), ("", None),
        ('end with "Score: <total points>"', None), ("5 points", None),
    ],
)  # fmt: skip
def test_reading_points(text: str, points: float | None) -> None:
    assert read_points(text) == points


def test_templates_have_their_holes() -> None:
    assert "{answer}" in VerdictSettings(by="points").template and VerdictSettings().template == CHECK
