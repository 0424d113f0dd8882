"""Responses that answer first and explain afterwards: what their opening says, and what is noise there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmupt.answers.reading.amounts import value_of
from mmupt.answers.reading.mentions import stray_label
from mmupt.answers.reading.sentences import opening

_YES_NO = re.compile(r"(yes|no|true|false)\b(?=[,.!:;\n]|$| (?:there|the|it|this|they)\b)", re.IGNORECASE)
_SAME = {"yes": "true", "true": "yes", "no": "false", "false": "no"}
_LABELLED_LINE = re.compile(r"\n\(?[A-Z][).]")  # a list of options
_CONCLUDES = re.compile(r"\b(?:therefore|thus|hence|so|in conclusion|in total)\b|\boverall,", re.IGNORECASE)
_CALCULATES = re.compile(r"[=≈]|\\approx")
_EXPLAINS = re.compile(
    r"(?:this (?:is|was) because|that(?:'s|’s| is) because|however, this|explanation|reason(?:ing)?)\b"
    r"|(?:because|since|as)\b[^,]*$",  # "Since it is open, the answer ..." has a main clause that may conclude
    re.IGNORECASE,
)
_MOST_BOLD = 40
_THE_OTHERS = re.compile(r"the others?\b", re.IGNORECASE)
_REJECTED_OPTIONS = re.compile(
    r"\n[^\n]{0,60}\b(?:other|remaining|rest of the) (?:possible |answer )?(?:answers?|options?|choices?)\b",
    re.IGNORECASE,
)


def yes_or_no(text: str, choices: tuple[str, ...] | None) -> str | None:
    """ "Yes" or "No" at the very front, behind the label of no option; of the options, where there are any.

    Where those are "True" and "False", yes says true, and the other way round.
    """
    text = text.lstrip("*# ")
    if choices and (stray := stray_label(text, choices)) and not _LABELLED_LINE.search(text):
        text = text[len(stray) :].lstrip(" ).:*")
    lead = _YES_NO.match(text)
    if lead is None:
        return None
    said = lead[1].casefold()
    if choices is None:
        return lead[1] if said in ("yes", "no") else None
    offered = {choice.strip().casefold(): choice for choice in choices}
    if said in offered:
        return lead[1]
    return offered[_SAME[said]] if set(offered) in ({"yes", "no"}, {"true", "false"}) else None


def before_other_options(text: str) -> str:
    """The response up to where it explains why the other options are wrong."""
    rejected = _REJECTED_OPTIONS.search(text, 1)
    return text[: rejected.start()] if rejected else text


def answer_first(text: str, bold: Sequence[str]) -> str | None:
    """The first sentence, where all that follows explains it: the second says so, or the only value in bold is there.

    A response that concludes ("so", "therefore") is not read this way, nor one that goes on to calculate.
    """
    first, *others = [*opening(text), ""]
    behind = text[text.find(first) + len(first) :]
    if len(others) < 2 or _CONCLUDES.search(behind):
        return None
    if _EXPLAINS.match(others[0]):
        return first
    if _CALCULATES.search(behind):
        return None
    values = [content for content in bold[:_MOST_BOLD] if value_of(content)[1]]
    only_bold = len(values) == 1 and values[0] in first
    return first if only_bold or _THE_OTHERS.match(others[0]) else None
