"""Sentences that say that there is no answer."""

from __future__ import annotations

import re

_CANNOT = r"(?:can ?not|can't|can’t|could not|couldn't|couldn’t)"
_ANSWER = r"(?:answers?|solutions?|values?|conclusions?|numbers?)"
_GIVEN = r"(?:provided|given|reached|made|drawn|offered|found)"
_MATTER = r"(?:information|data|context|details?|clarification)"
_REFUSAL = re.compile(
    rf"\b(?:{_CANNOT}|unable to|not able to|not possible to|impossible to) (?:be )?"
    r"(?:accurately |definitively |directly |exactly )?"
    r"(?:determined?|answer(?:ed)?|tell|say|provide|see|view|calculated?|solved?|identify|identified|access"
    r"|comput\w+|process)\b"
    # a precise answer can't be given; no answer can be provided; I can't choose any of the options
    rf"|\b{_ANSWER} {_CANNOT} be (?:\w+ly )?{_GIVEN}\b|\bno (?:\w+ ){{0,2}}{_ANSWER} can be {_GIVEN}\b"
    rf"|\b{_CANNOT} (?:choose|select|pick) (?:any|one|an option|an answer|between|from|the correct)\b"
    # the problem seems incomplete; the question appears to lack a figure
    r"|\b(?:problem|question|statement|prompt) (?:\w+ ){0,3}?(?:(?:seems?|appears?|is) (?:to be )?incomplete"
    r"|(?:seems?|appears?) to (?:lack|miss|be (?:missing|lacking)))\b"
    # we need more information; additional details are required
    rf"|\b(?:I|we)(?:'d|’d|'ll| would| will| do)? (?:need|require) (?:\w+ )?(?:more|additional|further) "
    rf"(?:\w+ ){{0,2}}{_MATTER}\b"
    rf"|\b(?:more|additional|further) (?:\w+ ){{0,2}}{_MATTER} (?:is|are|would be) (?:needed|required|necessary)\b"
    r"|\b(?:does not|doesn't|do not|don't|did not|without)(?: \w+){0,2} (?:enough|sufficient|more|additional"
    r"|any|the|specific)?"
    r" ?(?:information|context|details|images?|figures?|picture)\b|\b(?:not enough|insufficient|no"
    r"|lack of) (?:\w+ ){0,2}?information\b"
    r"|\b(?:no idea|(?:do not|don't|don’t) know|not (?:sure|certain))\b"
    r"|无法(?:确定|回答|判断)|不能确定|抱歉",
    re.IGNORECASE,
)
_APOLOGY = re.compile(
    r"\W{0,3}(?:(?:I'm|I’m|I am|we are) (?:(?:very|so|really) )?(?:sorry|afraid|unable|not able)|sorry\b"
    r"|I apologi[sz]e|unfortunately|as an ai\b|I (?:cannot|can't|can’t)\b|对不起|很抱歉|抱歉)",
    re.IGNORECASE,
)


def refuses(sentence: str) -> bool:
    """Whether a sentence says that there is no answer."""
    return _REFUSAL.search(sentence) is not None


def apologises(text: str) -> bool:
    """Whether a response opens with an apology: what follows is no answer, whatever numbers it mentions."""
    return _APOLOGY.match(text) is not None
