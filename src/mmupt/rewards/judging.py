"""The policy asked whether an answer is right: how the question is put, and the probability of its "yes"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch

from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.data.columns import PLACEHOLDER
from mmupt.data.questions import render_question
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder
from mmupt.models.forward import no_grad_logprobs
from mmupt.rewards.tools import Tools
from mmupt.types import EncodedPrompt, Prompt

_YES = ("yes", "Yes")
_NO = ("no", "No")
_HOLE = re.compile(r"\{(question|answer)\}")
_LEADING = re.compile(rf"(?:\s*{PLACEHOLDER})*")


def judge_prompt(prompt: Prompt, answer: str, template: str, settings: PromptSettings, *, id: str) -> Prompt:
    """`template` with question, choices and answer in their places, about the same pictures.

    Pictures that stand in front of the question stand in front of the whole; the others stay where they are in it.

    >>> dice = Prompt("7", "<image>Add all dice.")
    >>> judge_prompt(dice, "11", "Question: {question} Answer: {answer} Right?", PromptSettings(), id="8").question
    '<image>Question: Add all dice. Answer: 11 Right?'
    """
    pictures, text = leading_pictures(_as_text(prompt, settings))
    filling = {"question": text, "answer": answer.replace(PLACEHOLDER, " ")}
    question = pictures + _HOLE.sub(lambda hole: filling[hole[1]], template)
    return replace(prompt, id=id, question=question, choices=None)


def p_yes(asked: Sequence[tuple[Prompt, str]], template: str, tools: Tools) -> list[float]:
    """How sure the policy of this moment is, in [0, 1], that each answer to its prompt's question is right:
    P(yes) / (P(yes) + P(no)) on `template`, where P(yes) is the probability at temperature 1 that its response begins
    with "yes" or "Yes".

    The words stand right behind the chat template's generation prompt, as the tokenizer writes them there on their
    own, and without an end token: whatever the model would go on to say, it has begun with them. `prompt.suffix` asks
    for reasoning and a box and is left out. An answer that cannot be put to the model (too long, or it spells one of
    the model's reserved tokens) counts as 0.
    """
    encoder = unadorned(tools.encoder)
    tokenizer = tools.loaded.family.tokenizer
    words = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in (*_YES, *_NO)]
    encoded = [_encoded(encoder, prompt, answer, template) for prompt, answer in asked]
    items = {i: PackItem(prompt, words) for i, prompt in enumerate(encoded) if prompt is not None}
    costs = [item.length for item in items.values()]
    with tools.loaded.whole():
        found = tools.processes.map(list(items.values()), costs, lambda share: _p_yes(share, tools))
    sure = [0.0] * len(asked)
    for i, probability in zip(items, found, strict=True):
        sure[i] = probability
    return sure


def _p_yes(items: Sequence[PackItem], tools: Tools) -> list[float]:
    """Of items whose completions are the words of _YES and of _NO."""
    sure = [0.0] * len(items)
    for row in plan_micro_batches([item.length for item in items], tools.micro_batch_tokens):
        batch = pack([items[i] for i in row])
        logprobs_T = no_grad_logprobs(tools.loaded, batch, temperature=1.0, chunk=tools.logprob_chunk).cpu()
        word_R = torch.zeros(batch.num_rollouts).index_add_(0, batch.rollout_T, logprobs_T)
        yes_no_N2 = word_R.view(-1, 2, len(_YES)).logsumexp(-1)
        for i, probability in zip(row, yes_no_N2.softmax(-1)[:, 0].tolist(), strict=True):
            sure[i] = probability
    return sure


def leading_pictures(question: str) -> tuple[str, str]:
    """A question cut into the placeholders in front of it, and all the rest."""
    found = _LEADING.match(question)
    assert found is not None, "the pattern matches the empty text too"
    return PLACEHOLDER * found[0].count(PLACEHOLDER), question[found.end() :].lstrip()


def unadorned(encoder: PromptEncoder) -> PromptEncoder:
    """An encoder that adds no `prompt.suffix`, for prompts that do not ask for an answer to a question."""
    return PromptEncoder(encoder.family, encoder.settings.model_copy(update={"suffix": ""}))


def _encoded(encoder: PromptEncoder, prompt: Prompt, answer: str, template: str) -> EncodedPrompt | None:
    try:
        return encoder(judge_prompt(prompt, answer, template, encoder.settings, id=prompt.id))
    except DataError:
        return None


def _as_text(prompt: Prompt, settings: PromptSettings) -> str:
    """The question as it is put to the model, with its choices and without the suffix."""
    parts = render_question(prompt, settings.model_copy(update={"suffix": ""}))
    return "".join(PLACEHOLDER if part["type"] == "image" else part["text"] for part in parts)
