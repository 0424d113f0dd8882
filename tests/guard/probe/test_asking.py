"""What is asked, and how it is read, with an engine that says what the test wants."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from PIL import Image

from mmupt.answers.settings import AnswerSettings
from mmupt.data.images import open_image
from mmupt.engines.base import Request, Sampling
from mmupt.errors import DataError
from mmupt.guard.probe.asking import Asking, choose
from mmupt.rewards.settings import RewardSettings
from mmupt.types import EncodedPrompt, ImageSource, Prompt, Rollout


def picture(color: str) -> ImageSource:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(file, "PNG")
    return ImageSource(data=file.getvalue())


@dataclass
class Encoder:
    """Remembers what was encoded; a question "bad" cannot be."""

    seen: list[Prompt] = field(default_factory=list)

    def __call__(self, prompt: Prompt) -> EncodedPrompt:
        if prompt.question == "bad":
            raise DataError("bad")
        self.seen.append(prompt)
        return EncodedPrompt(torch.tensor([len(self.seen) - 1]), torch.zeros(3, 1), 1)


@dataclass
class Engine:
    """Answers by prompt: `says(prompt, nth time this prompt is asked)` is a list with one text a seed."""

    encoder: Encoder
    says: Callable[[Prompt, bool], Sequence[str]]
    calls: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        self.calls.append(list(requests))
        found = []
        for request in requests:
            place = int(request.encoded.token_ids[0])
            prompt = self.encoder.seen[place]
            again = any(earlier.id == prompt.id for earlier in self.encoder.seen[:place])
            texts = self.says(prompt, again)
            assert len(texts) == len(request.seeds)
            found.append(tuple(Rollout((1,), (0.0,), text, "end") for text in texts))
        return found


def boxes(*answers: object) -> list[str]:
    return [f"\\boxed{{{answer}}}" if answer is not None else "no idea" for answer in answers]


def asking(says: Callable[[Prompt, bool], Sequence[str]], **changes: Any) -> tuple[Asking, Engine, Encoder]:
    encoder = Encoder()
    engine = Engine(encoder, says)
    options = {"samples": 4, "at_once": 2, "seed": 3, **changes}
    made = Asking(
        cast(Any, encoder), engine, Sampling(1.0, 1.0, 8), answers=AnswerSettings(), reward=RewardSettings(), **options
    )
    return made, engine, encoder


def test_the_choice_does_not_depend_on_the_order() -> None:
    prompts = [Prompt(f"p{i}", "?") for i in range(100)]
    chosen = choose(prompts, 10, seed=0)
    assert chosen == choose(prompts[::-1], 10, seed=0) and len({p.id for p in chosen}) == 10
    assert chosen != choose(prompts, 10, seed=1)
    assert choose(prompts, 20, seed=0)[:10] == chosen, "more prompts are the same and others"
    assert sorted(p.id for p in choose(prompts, 500, seed=0)) == sorted(p.id for p in prompts)


def test_a_picture_is_looked_at_twice_and_a_text_once() -> None:
    prompts = [Prompt("text", "?"), Prompt("seen", "<image>?", (picture("red"),))]
    ask, engine, encoder = asking(lambda prompt, again: boxes(7, 7, 8, None) if not again else boxes(7, 8, 8, 8))
    text, seen = ask.ask(prompts)
    assert (text.evidence.view, text.evidence.view_kept) == (None, None)
    assert (seen.evidence.view, seen.evidence.view_kept) == (0.25, False)
    assert seen.vote.answers == ("7", "7", "8", None)
    assert (seen.evidence.share, seen.evidence.readable) == (0.5, 0.75)
    original, view = [p for p in encoder.seen if p.id == "seen"]
    before, after = open_image(original.images[0]), open_image(view.images[0])
    assert before.size == after.size and before.tobytes() != after.tobytes()
    assert (view.question, view.choices) == (original.question, original.choices)
    seeds = [request.seeds for call in engine.calls for request in call]
    assert len({seed for each in seeds for seed in each}) == 12, "nothing is asked twice with the same seed"


@pytest.mark.parametrize(
    ("there", "view", "kept"),
    [
        (boxes("0.5", "1/2", 3, 3), 0.5, True),
        (boxes(None, None, None, None), 0.0, False),
        (boxes(3, 3, 3, "1/2"), 0.25, False),
    ],
)
def test_the_view_is_compared_by_what_answers_mean(there: list[str], view: float, kept: bool) -> None:
    ask, _, _ = asking(lambda prompt, again: there if again else boxes("0.5", "0.5", "0.5", 2))
    [found] = ask.ask([Prompt("p", "<image>?", (picture("red"),))])
    assert (found.evidence.view, found.evidence.view_kept) == (view, kept)


def test_nothing_to_compare_is_no_agreement() -> None:
    ask, _, _ = asking(lambda prompt, again: boxes(1, 1, 1, 1) if again else boxes(None, None, None, None))
    [found] = ask.ask([Prompt("p", "<image>?", (picture("red"),))])
    assert (found.evidence.view, found.evidence.view_kept, found.evidence.share) == (0.0, False, 0.0)


def test_what_cannot_be_asked_is_passed_over_and_progress_goes_on() -> None:
    prompts = [Prompt("a", "?"), Prompt("b", "bad"), Prompt("c", "bad"), Prompt("d", "bad"), Prompt("e", "?")]
    ask, engine, _ = asking(lambda prompt, again: boxes(1, 1, 1, 1))
    done: list[int] = []
    assert [probed.prompt.id for probed in ask.ask(prompts, done.append)] == ["a", "e"]
    assert done == [2, 4, 5]
    broken = ImageSource(data=b"no picture")
    assert ask.ask([Prompt("f", "<image>?", (broken,))]) == []
    assert max(len(call) for call in engine.calls) <= 2


def test_neighbours_change_nothing() -> None:
    """Alone or among others: the same seeds and the same evidence."""
    prompts = [Prompt(f"p{i}", "<image>?", (picture("blue"),)) for i in range(5)]

    def says(prompt: Prompt, again: bool) -> list[str]:
        return boxes(int(prompt.id[1:]) + again, 1, 2, 2)

    together, engine, _ = asking(says)
    alone, single, _ = asking(says, at_once=1)
    assert [p.evidence for p in together.ask(prompts)] == [p.evidence for p in alone.ask(prompts)]
    by_seed = [sorted(r.seeds for call in e.calls for r in call) for e in (engine, single)]
    assert by_seed[0] == by_seed[1]
