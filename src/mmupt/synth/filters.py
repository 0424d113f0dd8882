"""Why a written question is not kept: one pure function a reason, in the order in which they are asked.

Each returns None for a question that passes, else a few words on what it has seen, for the report and the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from mmupt.questions.sameness import closest, same_question
from mmupt.synth.settings import FilterSettings
from mmupt.types import Vote

Reason = Literal[
    "unparsable",
    "too_short",
    "too_long",
    "duplicate_of_original",
    "near_duplicate_of_original",
    "duplicate",
    "near_duplicate",
    "no_reference",
    "unanswerable",
    "hopeless",
    "trivial",
    "enough",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

MEANING: dict[Reason, str] = {
    "unparsable": "no question could be read",
    "too_short": "shorter than filters.min_length",
    "too_long": "longer than filters.max_length, or than prompt.max_tokens with its picture",
    "duplicate_of_original": "a question that the picture has already",
    "near_duplicate_of_original": "nearly a question that the picture has already",
    "duplicate": "a question written before about the picture",
    "near_duplicate": "nearly a question written before about the picture",
    "no_reference": "it does not need the picture",
    "unanswerable": "the model has no majority answer to it",
    "hopeless": "the model's answers scatter (share below the band)",
    "trivial": "the model's answers agree (share above the band)",
    "enough": "the picture has `keep` questions already",
}

ADVICE: dict[Reason, str] = {
    "unparsable": "read some responses on the page; a base or very small model may not follow the template: write one "
    "in words it knows (templates), or give writing.max_new_tokens more room",
    "too_short": "lower filters.min_length, or ask for longer questions in the template",
    "too_long": "raise filters.max_length or prompt.max_tokens, or ask for one short question in the template",
    "duplicate_of_original": "raise writing.temperature, or ask in the template for something else",
    "near_duplicate_of_original": "raise writing.temperature or filters.similarity",
    "duplicate": "raise writing.temperature, or take fewer candidates a picture",
    "near_duplicate": "raise writing.temperature or filters.similarity, or take fewer candidates a picture",
    "no_reference": 'ask in the template for what only the picture can tell, or set filters.reference = "off"',
    "unanswerable": "answers must stand where answers.extract reads them and prompt.suffix asks for them; or lower "
    "filters.quorum",
    "hopeless": "the model cannot answer what it asks: ask for easier questions in the template, or lower "
    "filters.share[0]",
    "trivial": "the model is sure of its answers: ask for harder questions in the template, or raise filters.share[1]",
    "enough": "raise keep",
}


def too_short(text: str, filters: FilterSettings) -> str | None:
    return f"{len(text)} characters" if len(text) < filters.min_length else None


def too_long(text: str, filters: FilterSettings) -> str | None:
    return f"{len(text)} characters" if len(text) > filters.max_length else None


def duplicate(text: str, others: Sequence[str]) -> str | None:
    """Word for word one of the others, but for case, punctuation and spaces."""
    return next((f'the same as "{other}"' for other in others if same_question(text, other)), None)


def near_duplicate(text: str, others: Sequence[str], filters: FilterSettings) -> str | None:
    found, other = closest(text, others)
    return f'{found:.2f} like "{other}"' if other is not None and found >= filters.similarity else None


def no_reference_word(text: str, filters: FilterSettings) -> str | None:
    """For `filters.reference` "words"."""
    if filters.reference != "words":
        return None
    words = "|".join(re.escape(word) for word in filters.reference_words)
    return None if re.search(rf"(?<!\w)(?:{words})(?!\w)", text, re.IGNORECASE) else "it names no picture"


def answered_blind(blind: float | None, filters: FilterSettings) -> str | None:
    """For `filters.reference` "blind": `blind` is the share of the answers without the picture that are the majority
    answer with it, None where nobody was asked."""
    if blind is None or blind < filters.blind_share:
        return None
    return f"{blind:.0%} of the answers without the picture are the same"


def unanswerable(vote: Vote, filters: FilterSettings) -> str | None:
    """No quorum, or nobody wins."""
    if vote.num_answers < filters.quorum * vote.size or not vote.num_answers:
        return f"{vote.num_answers} of {vote.size} answers could be read"
    return "the vote is tied" if vote.winner is None else None


def hopeless(vote: Vote, filters: FilterSettings) -> str | None:
    return f"{vote.share:.0%} agree" if vote.share < filters.share[0] else None


def trivial(vote: Vote, filters: FilterSettings) -> str | None:
    return f"{vote.share:.0%} agree" if vote.share > filters.share[1] else None


def judge_text(
    text: str, originals: Sequence[str], earlier: Sequence[str], filters: FilterSettings
) -> tuple[Reason, str] | None:
    """The first reason that the words of a question give, with its detail; None where they give none. `earlier` are the
    questions written about the same picture that had none either."""
    found: list[tuple[Reason, str | None]] = [
        ("too_short", too_short(text, filters)),
        ("too_long", too_long(text, filters)),
        ("duplicate_of_original", duplicate(text, originals)),
        ("near_duplicate_of_original", near_duplicate(text, originals, filters)),
        ("duplicate", duplicate(text, earlier)),
        ("near_duplicate", near_duplicate(text, earlier, filters)),
        ("no_reference", no_reference_word(text, filters)),
    ]
    return _first(found)


def judge_vote(vote: Vote, filters: FilterSettings) -> tuple[Reason, str] | None:
    """The first reason that the model's own answers give."""
    return _first(
        [
            ("unanswerable", unanswerable(vote, filters)),
            ("hopeless", hopeless(vote, filters)),
            ("trivial", trivial(vote, filters)),
        ]
    )


def _first(found: Sequence[tuple[Reason, str | None]]) -> tuple[Reason, str] | None:
    return next(((reason, detail) for reason, detail in found if detail is not None), None)
