"""From pictures to judged questions, with an engine that says what the test has written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Sampling
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.loading import LoadedModel
from mmupt.runtime.seeds import derive_seed
from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import subjects
from mmupt.synth.writing import Writer, question_of
from mmupt.types import ImageSource, Prompt

Make = Callable[..., SynthStage]
SEED = 7


def index_of(source: str, seed: int, name: str = "synth", most: int = 20) -> int | None:
    """Which rollout of a prompt a seed belongs to."""
    return next((i for i in range(most) if derive_seed(SEED, name, source, i) == seed), None)


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


def test_each_reason_at_its_turn(
    make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]
) -> None:
    """Twelve responses about one picture; the answers to what passes are written below."""
    responses = [
        "Question: Largest die?\nAnswer: 6",  # kept
        "I see four dice.",  # unparsable
        "Why?",  # too short
        "How many " + "red " * 20 + "dice?",  # too long
        "add all dice",  # the original
        "Which of the dice in the picture shows the most pips of all?",  # trivial
        "Which of the dice in the picture shows the most pips at all?",  # nearly the one before
        "Largest die?",  # the first one again
        "What is behind the dice?",  # unanswerable
        "Which color is nicest?",  # hopeless
        "Smallest die?",  # kept
        "Largest minus smallest?",  # it would be, but two are enough
    ]
    answers = {
        "Largest die?": "5564",
        "Which of the dice": "5555",
        "What is behind": "1???",
        "Which color": "1234",
        "Smallest die?": "11?2",
        "Largest minus": "4445",
    }
    turns: dict[str, int] = {}

    def say(text: str, pictured: bool, seed: int) -> str:
        assert pictured
        if text == "Ask!":
            index = index_of("p0", seed)
            assert index is not None
            return responses[index]
        given = next(a for begin, a in answers.items() if text.startswith(begin))
        turns[text] = turns.get(text, -1) + 1
        return "?" if given[turns[text]] == "?" else boxed(given[turns[text]])

    engine = scripted(say)
    filters = {"reference": "off", "max_length": 70, "share": [0.3, 0.8]}
    stage = make_stage(candidates=12, keep=2, filters=filters)
    (written,) = Writer(stage, encoder, engine, SEED).write(subjects(prompts[:1]))
    assert [candidate.dropped for candidate in written.candidates] == [
        None, "unparsable", "too_short", "too_long", "duplicate_of_original", "trivial", "near_duplicate", "duplicate",
        "unanswerable", "unanswerable", None, "enough",
    ]  # fmt: skip
    first = written.candidates[0]
    assert (first.id, first.source, first.question, first.majority, first.share) == (
        "p0#0",
        "p0",
        "Largest die?",
        "5",
        0.5,
    )
    assert first.answers == ("5", "5", "6", "4") and first.response == responses[0] and first.blind is None
    assert first.seed == derive_seed(SEED, "synth", "p0", 0)
    assert written.candidates[9].detail == "the vote is tied" and written.candidates[8].answers == (
        "1",
        None,
        None,
        None,
    )
    assert written.candidates[1].detail == "it asks nothing" and written.candidates[3].question is not None
    assert [candidate.id for candidate in written.kept] == ["p0#0", "p0#10"]
    assert question_of(written.subject, first) == Prompt("p0#0", "<image>Largest die?", prompts[0].images)
    asked = [text for text, _, _ in engine.asked]
    assert asked[0] == "Ask!" and len(asked) == 7, "what its words rule out is not answered"
    assert engine.samplings == [Sampling(1.0, 0.95, 256), Sampling(0.5, 1.0, 8)]


def test_a_share_below_the_band(make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]) -> None:
    turn = iter("112345")
    engine = scripted(lambda text, pictured, seed: "Largest die?" if text == "Ask!" else boxed(next(turn)))
    stage = make_stage(candidates=1, samples=6, filters={"reference": "off", "share": [0.5, 1.0]})
    (written,) = Writer(stage, encoder, engine, SEED).write(subjects(prompts[:1]))
    assert (written.candidates[0].dropped, written.candidates[0].detail) == ("hopeless", "33% agree")


def test_what_needs_no_picture(make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]) -> None:
    """Both questions divide the model with the picture; without it, it says 5 to the first, to the other anything."""
    turns = {True: iter("5546" * 2), False: iter("5555" + "1234")}

    def say(text: str, pictured: bool, seed: int) -> str:
        if text == "Ask!":
            return ["What is two plus three?", "Largest die?"][index_of("p0", seed) or 0]
        return boxed(next(turns[pictured]))

    engine = scripted(say)
    (written,) = Writer(make_stage(filters={"reference": "blind"}), encoder, engine, SEED).write(subjects(prompts[:1]))
    assert [(c.dropped, c.blind) for c in written.candidates] == [("no_reference", 1.0), (None, 0.0)]
    assert [(text, pictured) for text, pictured, _ in engine.asked[1:]] == [
        ("What is two plus three?", True), ("Largest die?", True),
        ("What is two plus three?", False), ("Largest die?", False),
    ]  # fmt: skip


def test_in_context_with_the_models_own_answer(
    make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]
) -> None:
    """p0's original has a majority, p1's is tied: nothing is asked about p1."""
    originals = {0: iter("7778"), 1: iter("1122")}

    def say(text: str, pictured: bool, seed: int) -> str:
        if text == "Add all dice.":
            return boxed(next(originals[0 if index_of("p0", seed, "synth original") is not None else 1]))
        if text.startswith("Ask another"):
            assert text == "Ask another than: Add all dice. (7)"
            return "Largest die?"
        return boxed(str(seed % 2))

    engine = scripted(say)
    stage = make_stage(mode="in_context", candidates=1, filters={"reference": "off", "share": [0, 1]})
    one, two = Writer(stage, encoder, engine, SEED).write(subjects(prompts[:2]))
    assert [candidate.given for candidate in one.candidates] == ["7"]
    assert two.candidates == () and two.passed_over == {
        "p1": "the model has no majority answer to the original question"
    }


def test_in_context_with_the_label(
    make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]
) -> None:
    engine = scripted(lambda text, pictured, seed: "Largest die?" if text.startswith("Ask") else boxed("1"))
    stage = make_stage(mode="in_context", answer_from="gold")
    written = Writer(stage, encoder, engine, SEED, {"p0": "11", "p1": "12"}).write(subjects(prompts[:2]))
    assert [text for text, _, _ in engine.asked[:2]] == [
        "Ask another than: Add all dice. (11)",
        "Ask another than: Add all dice. (12)",
    ]
    assert [w.candidates[0].given for w in written] == ["11", "12"]


def test_several_questions_about_one_picture(
    make_stage: Make, scripted: Any, encoder: PromptEncoder, prompts: list[Prompt]
) -> None:
    """In context each is shown, and none of them, nor what was written beside another, is written again."""
    other = replace(prompts[0], id="q", question="<image>Smallest die?")
    engine = scripted(lambda text, pictured, seed: "Smallest die?" if "Add" in text else "Largest die?")
    stage = make_stage(mode="in_context", templates={"in_context": "Ask another than: {question}"}, candidates=2)
    (written,) = Writer(stage, encoder, engine, SEED).write(subjects([prompts[0], other]))
    assert [(c.id, c.dropped) for c in written.candidates] == [
        ("p0#0", "duplicate_of_original"), ("p0#1", "duplicate_of_original"),
        ("q#0", "unanswerable"), ("q#1", "duplicate"),
    ]  # fmt: skip
    assert len(engine.asked) == 3, "no original is answered where no answer is shown"


def test_the_suffix_is_for_answering(make_stage: Make, scripted: Any, tiny: LoadedModel, prompts: list[Prompt]) -> None:
    settings = PromptSettings(suffix=" Think!", min_pixels=3136, max_pixels=3136)
    engine = scripted(lambda text, pictured, seed: "Largest die?")
    Writer(make_stage(), PromptEncoder(tiny.family, settings), engine, SEED).write(subjects(prompts[:1]))
    assert [text for text, _, _ in engine.asked] == ["Ask!", "Largest die? Think!"]


def test_what_cannot_be_put_to_the_model(
    make_stage: Make, scripted: Any, tiny: LoadedModel, prompts: list[Prompt]
) -> None:
    engine = scripted(lambda text, pictured, seed: "Largest die?" if "Ask!" in text else boxed("1"))
    settings = PromptSettings(suffix="", min_pixels=3136, max_pixels=3136, max_tokens=40)
    encoder = PromptEncoder(tiny.family, settings)
    long = make_stage(prompt=settings, templates={"direct": "Ask! " * 50})
    with pytest.raises(PromptTooLong, match="prompt p0#ask has"):
        Writer(long, encoder, engine, SEED).write(subjects(prompts[:1]))
    skip = settings.model_copy(update={"too_long": "skip"})
    skipping = long.model_copy(update={"prompt": skip})
    (written,) = Writer(skipping, encoder, engine, SEED).write(subjects(prompts[:1]))
    assert written.candidates == () and "more than prompt.max_tokens" in written.passed_over["p0"]

    wordy = "How many " + "red " * 60 + "dice?"
    talkative = scripted(lambda text, pictured, seed: wordy if text == "Ask!" else boxed("1"))
    (written,) = Writer(make_stage(prompt=settings), encoder, talkative, SEED).write(subjects(prompts[:1]))
    assert written.candidates[0].dropped == "too_long" and "prompt.max_tokens" in written.candidates[0].detail

    broken = Prompt("bad", "<image>", (ImageSource(data=b"\x89PNG no more"),))
    with pytest.raises(DataError, match=r"prompt bad#ask: picture .* is not a picture"):
        Writer(make_stage(), encoder, engine, SEED).write(subjects([prompts[0], broken]))
    lenient = make_stage(data={"path": "x", "bad_rows": "skip"})
    good, bad = Writer(lenient, encoder, engine, SEED).write(subjects([prompts[0], broken]))
    assert len(good.candidates) == 2 and bad.candidates == () and "is not a picture" in bad.passed_over["bad"]
