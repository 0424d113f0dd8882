"""The question that the policy is asked about an answer, and the probability of its yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmupt.data.settings import PromptSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.rewards.judging import judge_prompt, leading_pictures, p_yes, unadorned
from mmupt.rewards.settings import JUDGE_PROMPT
from mmupt.rewards.tools import Tools
from mmupt.types import ImageSource, Prompt
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice
from mmupt.world.skills import verify_text

PICTURE = ImageSource(data=png_bytes(Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()))
DICE = Prompt("7", "<image>Add all dice.", (PICTURE,))
SMALL = PromptSettings(min_pixels=3136, max_pixels=3136, max_tokens=200)


@pytest.fixture
def tools(tiny: LoadedModel, make_tools: Callable[..., Tools]) -> Tools:
    return make_tools(encoder=PromptEncoder(tiny.family, SMALL), micro_batch_tokens=1000)


def asked(prompt: Prompt, answer: str, template: str = JUDGE_PROMPT) -> str:
    return judge_prompt(prompt, answer, template, SMALL, id="j").question


def test_it_is_the_question_that_the_offline_world_teaches() -> None:
    assert asked(DICE, "11") == "<image>" + verify_text("Add all dice.", "11")
    made = judge_prompt(DICE, "11", JUDGE_PROMPT, SMALL, id="j")
    assert (made.id, made.images, made.choices) == ("j", DICE.images, None)


def test_choices_stand_with_the_question_and_not_behind_the_answer() -> None:
    prompt = replace(DICE, question="<image> Which sum?", choices=("9", "11"))
    assert asked(prompt, "B", "{question} -- {answer}?") == "<image>Which sum?\nChoices:\n(A) 9\n(B) 11 -- B?"


def test_pictures_inside_a_question_stay_where_they_are() -> None:
    prompt = Prompt("2", "<image>\n<image> Is the first more than <image>?", (PICTURE,) * 3)
    assert asked(prompt, "yes", "Q {question} A {answer}") == "<image><image>Q Is the first more than <image>? A yes"
    assert leading_pictures("no picture") == ("", "no picture")


def test_what_question_and_answer_say_is_not_filled_in_again() -> None:
    prompt = Prompt("3", "What does {answer} mean?")
    assert asked(prompt, "{question}", "{question}|{answer}") == "What does {answer} mean?|{question}"
    assert asked(DICE, "a <image> b", "{question}|{answer}").count("<image>") == 1


def test_the_suffix_that_asks_for_reasoning_is_left_out(tools: Tools) -> None:
    assert SMALL.suffix and unadorned(tools.encoder).settings == SMALL.model_copy(update={"suffix": ""})
    assert unadorned(tools.encoder)(DICE).length < tools.encoder(DICE).length


def slowly(plain: Any, tools: Tools, prompt: Prompt, answer: str) -> float:
    """Each word forwarded alone through transformers' own model, as the product of its tokens' probabilities."""
    encoder = unadorned(tools.encoder)
    encoded = encoder(judge_prompt(prompt, answer, JUDGE_PROMPT, encoder.settings, id="j"))
    begins = {}
    for word in ("yes", "Yes", "no", "No"):
        ids = tools.loaded.family.tokenizer(word, add_special_tokens=False)["input_ids"]
        probabilities = plain.logits(encoded, ids).detach().double().softmax(-1)
        begins[word] = float(probabilities[range(len(ids)), ids].prod())
    yes, no = begins["yes"] + begins["Yes"], begins["no"] + begins["No"]
    return yes / (yes + no)


QUESTIONS = [
    (DICE, "11"),
    (DICE, "12"),
    (Prompt("t", "Largest die?"), "5"),
    (replace(DICE, id="c", choices=("red", "blue")), "A"),
]


@pytest.mark.parametrize("micro_batch_tokens", [16, 150, 1000])
def test_it_is_the_share_of_yes_in_yes_and_no(tools: Tools, plain: Any, micro_batch_tokens: int) -> None:
    sure = p_yes(QUESTIONS, JUDGE_PROMPT, replace(tools, micro_batch_tokens=micro_batch_tokens))
    expected = [slowly(plain, tools, prompt, answer) for prompt, answer in QUESTIONS]
    assert sure == pytest.approx(expected, abs=1e-5)
    assert len({round(value, 4) for value in sure}) == len(sure), "the questions differ, and so do the answers"


def test_it_is_the_policy_of_the_moment(tools: Tools, tiny: LoadedModel) -> None:
    before = p_yes(QUESTIONS, JUDGE_PROMPT, tools)
    yes = tiny.family.tokenizer("yes", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        tiny.model.get_output_embeddings().weight[yes] *= -3.0  # type: ignore[operator, union-attr]
    assert p_yes(QUESTIONS, JUDGE_PROMPT, tools) != pytest.approx(before, abs=1e-3)


def test_what_cannot_be_asked_counts_as_no(tools: Tools) -> None:
    too_long, reserved = (DICE, "1 " * 300), (DICE, "<|im_end|>")
    sure = p_yes([too_long, *QUESTIONS, reserved], JUDGE_PROMPT, tools)
    assert (sure[0], sure[-1]) == (0.0, 0.0)
    assert sure[1:-1] == pytest.approx(p_yes(QUESTIONS, JUDGE_PROMPT, tools), abs=1e-5)
    assert p_yes([], JUDGE_PROMPT, tools) == []
