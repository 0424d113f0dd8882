"""The answer mask against the bytes of each token: which of them spell a character of the answer."""

from __future__ import annotations

import codecs
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

from mmupt.answers.settings import AnswerSettings
from mmupt.models.loading import LoadedModel
from mmupt.train.masking import answer_mask, token_range
from mmupt.types import EncodedPrompt, Prompt, Role, Rollout, RolloutGroup

BOXED = AnswerSettings()
NOTHING = EncodedPrompt(torch.zeros(1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long), 1)


def byte_of_character() -> dict[str, int]:
    """The byte-level alphabet: printable bytes stand for themselves, the others follow from U+0100 on."""
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = [b for b in range(256) if b not in printable]
    alphabet = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    assert set(alphabet) == set(pre_tokenizers.ByteLevel.alphabet())
    return alphabet


def slow_tokens(tokenizer: Any, token_ids: tuple[int, ...], span: tuple[int, int]) -> list[int]:
    """Byte by byte: the tokens that hold a byte of a character from `span`."""
    alphabet, decoder = byte_of_character(), codecs.getincrementaldecoder("utf-8")("replace")
    shown, found = 0, []
    for place, token in enumerate(tokenizer.convert_ids_to_tokens(list(token_ids))):
        if token in tokenizer.all_special_tokens:
            continue
        for character in token:
            shown += len(decoder.decode(bytes([alphabet[character]])))
            unfinished = bool(decoder.getstate()[0])
            if span[0] <= (shown if unfinished else shown - 1) < span[1]:
                found.append(place)
    return sorted(set(found))


def rollout(tokenizer: Any, token_ids: list[int], stop: Any = "end") -> Rollout:
    """As an engine hands it on."""
    spoken = token_ids[:-1] if stop == "end" else token_ids
    text = tokenizer.decode(spoken, skip_special_tokens=True)
    return Rollout(tuple(token_ids), (-0.5,) * len(token_ids), text, stop)


def said(tokenizer: Any, text: str, stop: Any = "end") -> Rollout:
    end = [tokenizer.eos_token_id] if stop == "end" else []
    made = rollout(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"] + end, stop)
    assert made.text == text
    return made


def group_of(*rollouts: Rollout, role: Role = "answer") -> RolloutGroup:
    return RolloutGroup(Prompt("p", "?"), NOTHING, rollouts, role=role)


def masked_text(tokenizer: Any, made: Rollout, answers: AnswerSettings = BOXED) -> str:
    mask = answer_mask(group_of(made), tokenizer, answers)
    return tokenizer.decode([t for t, m in zip(made.token_ids, mask.tolist(), strict=True) if m])  # type: ignore[no-any-return]


HOSTILE = [
    (r"3+5=8, so \boxed{8}", r"\boxed{8}"),
    (r"first \boxed{7}, no: \boxed{11} it is", r"\boxed{11}"),
    (r"\boxed{\frac{1}{2}}", r"\boxed{\frac{1}{2}}"),
    (r"面积是 \boxed{十二 cm²}。谢谢 👩‍👩‍👧", r"\boxed{十二 cm²}"),
    (r"😀\boxed{😀🏳️‍🌈}😀", r"\boxed{😀🏳️‍🌈}"),
    (r"\boxed{5} and \boxed{6", r"\boxed{5}"),
    (r"e\u0301 \fbox {e\u0301}", r"\fbox {e\u0301}"),
    ("\x00\x1f\\boxed{1\x002}\u2028", "\\boxed{1\x002}"),
    (r"\boxed{\boxed{4}}", r"\boxed{4}"),
]


@pytest.mark.parametrize("stop", ["end", "length"])
@pytest.mark.parametrize(("text", "box"), HOSTILE)
def test_the_mask_is_the_tokens_that_overlap_the_last_box(tiny: LoadedModel, text: str, box: str, stop: Any) -> None:
    tokenizer = tiny.family.tokenizer
    made = said(tokenizer, text, stop)
    mask = answer_mask(group_of(made), tokenizer, BOXED)
    start = text.rfind(box)
    assert mask.nonzero()[:, 0].tolist() == slow_tokens(tokenizer, made.token_ids, (start, start + len(box)))
    assert box in masked_text(tokenizer, made), "the whole box, and of its neighbours no more than shares a token"
    assert stop == "length" or not mask[-1], "the end token is not part of the answer"


def test_any_span_of_any_tokens(tiny: LoadedModel) -> None:
    """Tokens drawn at random: broken characters, characters that several tokens spell, special tokens in between."""
    tokenizer, rng = tiny.family.tokenizer, np.random.default_rng(0)
    checked = 0
    for _ in range(150):
        made = rollout(tokenizer, rng.integers(0, len(tokenizer), rng.integers(1, 30)).tolist(), "length")
        text = made.text
        for _ in range(4):
            start, end = sorted(rng.integers(0, len(text) + 1, 2).tolist())
            if start == end or text[end - 1] == "\ufffd":  # a span ends in a whole character
                continue
            expected = slow_tokens(tokenizer, made.token_ids, (start, end))
            found = [i for i in token_range(tokenizer, made, (start, end)) if not _special(tokenizer, made, i)]
            assert found == expected
            checked += 1
    assert checked > 200


def _special(tokenizer: Any, made: Rollout, place: int) -> bool:
    return made.token_ids[place] in tokenizer.all_special_ids


def test_a_character_of_several_tokens_is_masked_whole(tiny: LoadedModel) -> None:
    tokenizer = tiny.family.tokenizer
    made = said(tokenizer, "ab😀cd", "length")
    spelled = [i for i, token in enumerate(made.token_ids) if "\ufffd" in tokenizer.decode([token])]
    assert len(spelled) > 1
    assert list(token_range(tokenizer, made, (2, 3))) == spelled


def test_modes(tiny: LoadedModel) -> None:
    tokenizer = tiny.family.tokenizer
    tagged, lenient = AnswerSettings(extract="tag:answer"), AnswerSettings(extract="lenient")
    assert "<answer>9</answer>" in masked_text(tokenizer, said(tokenizer, "so <answer>9</answer>."), tagged)
    assert r"\boxed{9}" in masked_text(tokenizer, said(tokenizer, r"so \boxed{9}."), lenient)
    assert "12" in masked_text(tokenizer, said(tokenizer, "The answer is 12."), lenient)
    assert masked_text(tokenizer, said(tokenizer, "As 12 > 11, the answer is 12."), lenient) == "", "which of them?"


def test_nothing_is_masked_without_an_answer_or_where_answers_are_checked(tiny: LoadedModel) -> None:
    tokenizer = tiny.family.tokenizer
    answered, silent = said(tokenizer, r"\boxed{3}"), said(tokenizer, "who knows")
    mask = answer_mask(group_of(silent, answered), tokenizer, BOXED)
    assert not mask[: len(silent.token_ids)].any() and mask[len(silent.token_ids) :].any()
    assert answer_mask(group_of(answered, role="view"), tokenizer, BOXED).any()
    assert not answer_mask(group_of(answered, role="verification"), tokenizer, BOXED).any()


def test_a_text_of_other_tokens_is_refused(tiny: LoadedModel) -> None:
    tokenizer = tiny.family.tokenizer
    made = Rollout(said(tokenizer, "ab").token_ids, (0.0,), r"\boxed{3}", "end")
    with pytest.raises(ValueError, match="not what its tokens say"):
        answer_mask(group_of(made), tokenizer, BOXED)
