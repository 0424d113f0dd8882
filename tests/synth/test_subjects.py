from __future__ import annotations

from collections.abc import Callable

from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import asks, subjects
from mmupt.types import ImageSource, Prompt

A, B = ImageSource(path="a.png"), ImageSource(path="b.png")


def test_one_picture_is_one_subject() -> None:
    prompts = [
        Prompt("1", "<image>One?", (A,)),
        Prompt("2", "<image><image>Both?", (A, B)),
        Prompt("3", "<image>Three?", (A,)),
        Prompt("4", "Text?"),
        Prompt("5", "Text?"),
        Prompt("6", "<image>", (B,)),
        Prompt("7", "<image>", (ImageSource(data=b"x"),)),
        Prompt("8", "<image>Same bytes?", (ImageSource(data=b"x"),)),
    ]
    found = subjects(prompts)
    assert [[p.id for p in subject.prompts] for subject in found] == [
        ["1", "3"],
        ["2"],
        ["4"],
        ["5"],
        ["6"],
        ["7", "8"],
    ]
    assert [len(subject.questions) for subject in found] == [2, 1, 1, 1, 0, 1]
    assert found[1].images == (A, B) and found[5].id == "7"


def test_what_is_asked(make_stage: Callable[..., SynthStage]) -> None:
    (subject,) = subjects(
        [Prompt("1", "<image>One?", (A,)), Prompt("2", "What is <image> this?", (A,), ("red", "blue"))]
    )
    (direct,) = asks(subject, make_stage(), {})
    assert direct.prompt == Prompt("1#ask", "<image>Ask!", (A,)) and direct.source == "1" and direct.given is None

    context = make_stage(mode="in_context")
    one, two = asks(subject, context, {"1": "5", "2": "A"})
    assert one.prompt == Prompt("1#ask", "<image>Ask another than: One? (5)", (A,)) and one.given == "5"
    assert two.prompt.question == "<image>Ask another than: What is   this?\n(A) red\n(B) blue (A)"
    assert [ask.source for ask in asks(subject, context, {"2": "A"})] == ["2"], "without an answer to show, none"

    apart = make_stage(mode="in_context", templates={"in_context": "{question}|{choices}"})
    assert [ask.prompt.question for ask in asks(subject, apart, {})] == [
        "<image>One?|",
        "<image>What is   this?|(A) red\n(B) blue",
    ]
    assert all(ask.given is None for ask in asks(subject, apart, {"1": "5"}))


def test_an_answer_cannot_place_a_picture(make_stage: Callable[..., SynthStage]) -> None:
    (subject,) = subjects([Prompt("1", "<image>One {answer}?", (A,))])
    (ask,) = asks(subject, make_stage(mode="in_context"), {"1": "<image>{question}"})
    assert ask.prompt.question == "<image>Ask another than: One {answer}? ( {question})"
