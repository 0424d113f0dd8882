"""Descriptions in front of a question, and pairs of a good and a poor one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmupt.data.corruptions import corrupted
from mmupt.data.images import open_image
from mmupt.models.encoding import PromptEncoder
from mmupt.selftrain.describing import Describer
from mmupt.selftrain.encoding import Refused
from mmupt.selftrain.pairs import make_pairs
from mmupt.selftrain.targets import make_targets
from mmupt.types import LabeledPrompt, Prompt

Questions = list[LabeledPrompt]
GOOD, PLAIN, BAD = "a good prompt", ("plain a", "plain b"), ("bad a", "bad b")


def describer(shop: Any) -> Describer:
    return Describer(shop.stage, shop.tools, seed=shop.context.seed)


def pair_shop(workshop: Callable[..., Any], say: Any, **settings: Any) -> Any:
    describing = {"good": GOOD, "plain": PLAIN, "bad": BAD, **settings}
    return workshop(say, kind="pairs", prefer="corrupted", describing=describing, prompt={"suffix": " Box it."})


def test_a_description_stands_in_front_of_its_question(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(
        lambda text, seed: " four <image> dice {question} ",
        kind="targets",
        describe=True,
        describing={"plain": PLAIN},
        prompt={"suffix": " Box it."},
    )
    no_picture = Prompt("text", "Two and two?")
    found = describer(shop).infuse([questions[1].prompt, no_picture, questions[2].prompt])
    first, refused, third = found
    assert isinstance(first, Prompt) and isinstance(third, Prompt) and refused == Refused("no picture")
    assert first.question == "<image>Image description:\nfour   dice {question}\n\nQuestion 1?"
    assert first.id == "q1" and first.images == questions[1].prompt.images
    assert all(text in PLAIN for text in shop.engine.asked), "no suffix, which asks for a box"


def test_a_row_is_learned_under_the_question_with_its_description(
    workshop: Callable[..., Any], questions: Questions
) -> None:
    def say(text: str, seed: int) -> str:
        return rf"{seed} \boxed{{7}}" if text.endswith("Box it.") else "" if seed % 3 == 0 else f"d{seed % 1000}"

    shop = workshop(say, kind="targets", describe=True, prompt={"suffix": " Box it."}, rollout={"group_size": 2})
    report = make_targets(shop.stage, [row.prompt for row in questions], shop.tools, shop.context)
    assert report.rows == 2 * (5 - report.refused.get("no description", 0)) and report.rows > 0
    text = shop.file.read_text(encoding="utf-8")
    assert text.count(r"<image>Image description:\nd") == report.rows


def test_the_datas_own_solution_under_a_described_question(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(lambda text, seed: "four dice", kind="targets", keep="data", describe=True)
    report = make_targets(shop.stage, questions, shop.tools, shop.context)
    assert report.rows == 5 and report.responses == 0
    assert len(shop.engine.requests) == 5, "only descriptions were sampled"
    assert '"solution": "it is 3 ' in shop.file.read_text(encoding="utf-8")


def test_pairs_are_good_and_poor(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = pair_shop(workshop, lambda text, seed: f"under {text}")
    prompts = [Prompt(f"p{k}", questions[k % 5].prompt.question, questions[k % 5].prompt.images) for k in range(60)]
    heard = describer(shop).pairs([*prompts, Prompt("text", "?")])
    assert heard[-1].refused == "no picture"
    ways = [h.how for h in heard[:-1]]
    assert set(ways) == {"bad prompt: bad a", "bad prompt: bad b", "low_resolution", "colour_jitter"}
    assert 18 < sum(str(way).startswith("bad") for way in ways) < 42, "as often the one as the other"
    for h in heard[:-1]:
        good, poor = (response.text for response in h.responses)
        plain = h.prompt.question.removeprefix("<image>")
        assert good == f"under {GOOD}" and plain in PLAIN and h.answers == (None, None)
        assert poor == f"under {str(h.how).removeprefix('bad prompt: ') if str(h.how).startswith('bad') else plain}"
    assert describer(shop).pairs(prompts[7:8]) == heard[7:8], "what is drawn follows from seed and id"


def test_a_corrupted_picture_is_what_the_model_sees(
    workshop: Callable[..., Any], questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = pair_shop(workshop, lambda text, seed: text, bad=(), corruptions=("low_resolution",))
    (heard,) = describer(shop).pairs([questions[0].prompt])
    good, poor = (request.encoded.pictures[0] for request in shop.engine.requests)
    encoder = PromptEncoder(shop.tools.encoder.family, shop.stage.prompt)
    clean = encoder(questions[0].prompt).pictures[0]
    assert good.key == clean.key and heard.prompt.images == questions[0].prompt.images
    assert poor.key != clean.key and heard.how == "low_resolution"
    looked_at = corrupted(questions[0].prompt.images[0], "low_resolution", 0)  # it draws nothing
    assert encoder(Prompt("x", "<image>", (looked_at,))).pictures[0].key == poor.key
    assert not np.array_equal(np.asarray(open_image(looked_at)), np.asarray(open_image(heard.prompt.images[0])))


def test_pictures_that_prompts_share_are_described_once(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = pair_shop(workshop, lambda text, seed: f"{text} {seed}")
    twins = [Prompt("twin", "<image>Another?", questions[0].prompt.images), *[row.prompt for row in questions]]
    report = make_pairs(shop.stage, twins, shop.tools, shop.context)
    assert (report.prompts, report.rows, report.refused) == (6, 5, {"share their pictures": 1})
