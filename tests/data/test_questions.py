from __future__ import annotations

from mmupt.data.questions import messages, render_question
from mmupt.data.settings import PAPER_SUFFIX, PromptSettings
from mmupt.types import Prompt


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


IMAGE = {"type": "image"}


def test_parts_keep_their_order() -> None:
    prompt = Prompt(id="1", question="Compare <image> with<image>now.")
    assert render_question(prompt, PromptSettings(suffix="")) == [
        text("Compare "),
        IMAGE,
        text(" with"),
        IMAGE,
        text("now."),
    ]


def test_choices_then_suffix_follow_the_question() -> None:
    prompt = Prompt(id="1", question="<image>Which?", choices=("cat", "dog"))
    listed = render_question(prompt, PromptSettings())
    assert listed == [IMAGE, text("Which?\nChoices:\n(A) cat\n(B) dog" + PAPER_SUFFIX)]
    assert render_question(prompt, PromptSettings(choices="omit")) == [IMAGE, text("Which?" + PAPER_SUFFIX)]


def test_text_after_a_picture_that_ends_the_question() -> None:
    prompt = Prompt(id="1", question="Which?<image>")
    assert render_question(prompt, PromptSettings(suffix="!")) == [text("Which?"), IMAGE, text("!")]
    assert render_question(prompt, PromptSettings(suffix="")) == [text("Which?"), IMAGE]


def test_a_placeholder_in_a_choice_is_only_text() -> None:
    prompt = Prompt(id="1", question="<image>Which?", choices=("<image>",))
    parts = render_question(prompt, PromptSettings())
    assert [part["type"] for part in parts] == ["image", "text"]


def test_system_message() -> None:
    prompt = Prompt(id="1", question="Which?")
    user = {"role": "user", "content": [text("Which?")]}
    assert messages(prompt, PromptSettings(suffix="")) == [user]
    assert messages(prompt, PromptSettings(suffix="", system="Be brief.")) == [
        {"role": "system", "content": [text("Be brief.")]},
        user,
    ]
