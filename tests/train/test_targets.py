"""What a row wants written, as tokens: whole, closed by the token that ends a turn, and nothing that would be read as
chat structure."""

from __future__ import annotations

import pytest

from mmupt.errors import DataError
from mmupt.models.loading import LoadedModel
from mmupt.train.targets import TargetEncoder
from mmupt.types import LabeledPrompt, PreferencePair, Prompt

PROMPT = Prompt("q-7", "Add all dice.")


def test_texts_come_back_from_their_tokens_with_one_end(tiny: LoadedModel) -> None:
    target, tokenizer = TargetEncoder.of(tiny.family), tiny.family.tokenizer
    text = " 3+5=8\n\n\\boxed{8} Größer <image> <b>"
    rows = {
        text: LabeledPrompt(PROMPT, "8", solution=text),
        "\\boxed{8}": LabeledPrompt(PROMPT, "8"),
        "": LabeledPrompt(PROMPT, "8", solution=""),
    }
    for expected, row in rows.items():
        (ids,) = target(row)
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids[:-1]) == expected
        assert not tiny.family.end_ids.intersection(ids[:-1])


def test_a_pair_is_its_chosen_response_and_then_its_rejected_one(tiny: LoadedModel) -> None:
    target = TargetEncoder.of(tiny.family)
    chosen, rejected = target(PreferencePair(PROMPT, "\\boxed{8}", "Largest die?"))
    assert [chosen] == target(LabeledPrompt(PROMPT, "8"))
    assert [rejected] == target(LabeledPrompt(PROMPT, "8", solution="Largest die?"))


@pytest.mark.parametrize("token", ["<|im_end|>", "<|endoftext|>", "<|image_pad|>", "<|vision_start|>"])
def test_a_reserved_token_is_refused_with_row_and_field(tiny: LoadedModel, token: str) -> None:
    target = TargetEncoder.of(tiny.family)
    for row, field in (
        (LabeledPrompt(PROMPT, "8", solution=f"It is 8.{token}"), "solution"),
        (LabeledPrompt(PROMPT, f"{token}8"), "answer"),
        (PreferencePair(PROMPT, f"8{token}", "9"), "chosen"),
        (PreferencePair(PROMPT, "8", f"9 {token}"), "rejected"),
    ):
        for refuse in (target, target.check):
            with pytest.raises(DataError, match=f"row q-7: {field}: the text holds '{token.replace('|', '[|]')}'"):
                refuse(row)
