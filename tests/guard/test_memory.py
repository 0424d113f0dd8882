"""What is remembered of a prompt between visits, by hand."""

from __future__ import annotations

import json

from mmupt.answers.vote import vote
from mmupt.guard.memory import PromptMemory
from mmupt.types import Prompt


def test_flips_by_hand() -> None:
    memory = PromptMemory()
    prompt = Prompt("a", "?")
    visits = [
        (["3", "3", "4"], None),  # the first time there is nothing to compare with
        (["6/2", "3.0", "4"], False),  # the same number in other words
        (["4", "4", "3"], True),
        ([None, None], None),  # nobody could be read: no flip, and forgotten
        (["1", "2"], None),  # a tie
        (["4", "4.0"], False),  # against the last majority, which was 4
        (["3"], True),
    ]
    assert [memory.remember(prompt, vote(answers)) for answers, _ in visits] == [flip for _, flip in visits]
    assert memory.flip_rate("a") == 2 / 4


def test_prompts_do_not_mix_and_the_unknown_have_no_rate() -> None:
    memory = PromptMemory()
    for answer in ("1", "2", "3"):
        memory.remember(Prompt("a", "?"), vote([answer]))
        memory.remember(Prompt("b", "?"), vote(["7"]))
    memory.remember(Prompt("c", "?"), vote(["1"]))
    assert [memory.flip_rate(id) for id in "abcd"] == [1.0, 0.0, 0.0, 0.0]


def test_options_are_compared_as_options() -> None:
    prompt = Prompt("a", "?", choices=("60", "70"))
    memory = PromptMemory()
    assert memory.remember(prompt, vote(["A"], choices=prompt.choices)) is None
    assert memory.remember(prompt, vote(["60"], choices=prompt.choices)) is False
    assert memory.remember(prompt, vote(["B"], choices=prompt.choices)) is True


def test_a_resumed_memory_goes_on_where_it_was() -> None:
    memory, prompt = PromptMemory(), Prompt("a", "?")
    for answer in ("1", "2", "2"):
        memory.remember(prompt, vote([answer]))
    again = PromptMemory()
    again.load_state(json.loads(json.dumps(memory.state())))
    assert again.flip_rate("a") == memory.flip_rate("a") == 0.5
    assert again.remember(prompt, vote(["5"])) is memory.remember(prompt, vote(["5"])) is True
    assert again.state() == memory.state()
