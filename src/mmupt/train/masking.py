"""The tokens of a response that are taken out of the loss: those of its final answer (`algo.mask_answer`)."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import torch
from torch import Tensor

from mmupt.answers.extract import extract
from mmupt.answers.reading.boxes import Span
from mmupt.answers.settings import AnswerSettings
from mmupt.types import Rollout, RolloutGroup


def answer_mask(group: RolloutGroup, tokenizer: Any, answers: AnswerSettings) -> Tensor:
    """bool[the group's tokens, rollout behind rollout]: True where a token holds a character of the final answer, as
    `Extracted.span` has it: the whole last box, or the tags and what they hold. The end token is never of it.

    Nothing is masked where no answer can be read, and in groups that check an answer: their verdict is no answer to
    the question. OM-GRPO (arXiv 2608.03119) found that the full mask alone is stable, so there is none of a part.
    """
    masks = []
    for rollout in group.rollouts:
        mask = torch.zeros(len(rollout.token_ids), dtype=torch.bool)
        if group.role != "verification":
            span = extract(rollout.text, answers.extract, choices=group.prompt.choices).span
            if span is not None:
                tokens = token_range(tokenizer, rollout, span)
                mask[tokens.start : tokens.stop] = True
        masks.append(mask)
    return torch.cat(masks)


def token_range(tokenizer: Any, rollout: Rollout, span: Span) -> range:
    """The tokens of a rollout that overlap the characters `span` (from, to) of its text.

    Found by decoding about 2 log2(length) beginnings of the rollout. Exact wherever more tokens only add to the text,
    as in every byte-level BPE (a character that several tokens spell shows from its first one on, as U+FFFD), and the
    span ends in a whole character. ValueError where the text is not what the tokens say.
    """
    spoken = rollout.token_ids[:-1] if rollout.stop == "end" else rollout.token_ids
    start, end = span

    def text_of(count: int) -> str:
        text: str = tokenizer.decode(spoken[:count], skip_special_tokens=True)
        return text

    counts = range(len(spoken) + 1)
    first = bisect_left(counts, start + 1, key=lambda count: len(text_of(count)))
    stop = bisect_left(counts, True, lo=first, key=lambda count: text_of(count)[:end] == rollout.text[:end])
    if stop == len(counts):
        raise ValueError(f"the text of a rollout is not what its tokens say: {rollout.text[:end]!r}")
    return range(first - 1, stop)
