r"""The question in a response that was to ask one.

Of all that a model writes around it (thoughts, "Sure!", "Question:", numbering, quotes, bold type, an answer, further
questions) the first question is kept and nothing else. The steps, in order:

1. What follows the last thought (`</think>`), and of that the last `<question>...</question>`, if there is one.
2. Else what stands behind the first "Question:" ("Q1:", "**New question:**", "问题："), else the first paragraph
   that is no preamble ("Sure! Here is one:"). It goes on over options, and ends at an answer, a hint or the next
   question.
3. Of one line the first question: behind the first question mark nothing that asks again or answers.
4. Numbering, quotes and Markdown are taken off.

What is left must ask: hold a question mark, or tell the reader to do something ("Find x."). An apology, a box with an
answer, a placeholder of a picture in the middle, broken characters (tokens that together are no UTF-8), and a question
in which the response was cut off are no question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmupt.answers.reading.boxes import last_box
from mmupt.answers.reading.refusals import apologises
from mmupt.answers.reading.tags import after_thinking, last_tagged
from mmupt.answers.text import printable

_LONGEST = 4_000
"""Characters of a response that are looked at. A question is never so long; a response may be."""
_ORNAMENT = r"[\s*_#>`~-]*"
_LABEL = re.compile(
    rf"^{_ORNAMENT}(?:(?:my|a|the|one)\s+)?(?:new\s+|another\s+|different\s+)?(?:question|问题|q)\s*(?:#?\s*\d{{1,2}})?"
    r"[\s*_]*[:：][\s*_]*",
    re.IGNORECASE,
)
_YES = r"(?:sure|certainly|of course|okay|ok|great|absolutely)\b"
_HERE = r"(?:here(?:'s|’s| is| are)|i(?:'ll|’ll| will| would| can)|let me|let's)\b"
_ANNOUNCED = re.compile(
    rf"^\s*(?:{_YES}|{_HERE})[^:：?\n]{{0,80}}[:：]\s*(?=\S)|^\s*{_YES}\s*[!.,]\s+(?=\S)", re.IGNORECASE
)
_PREAMBLE = re.compile(rf"^(?:{_YES}|{_HERE})|\bquestions?\b.{{0,80}}[:：]$", re.IGNORECASE)
_END = re.compile(
    rf"^{_ORNAMENT}(?:(?:the\s+)?(?:correct\s+|right\s+|final\s+)?(?:answer|solution|explanation|reasoning|rationale|hint"
    r"|note|step\s+\d+|答案|解析)[^.?!:：\n]{0,20}[:：]|```)",
    re.IGNORECASE,
)
_ANSWER_INSIDE = re.compile(
    r"[\s(\[*]*(?:\b(?:the\s+)?(?:correct\s+)?(?:answer|solution)\s*(?:is\b|[:：])|a\s*[:：])", re.IGNORECASE
)
_NUMBERING = re.compile(r"^\s*(?:[-*•+]\s+|\(?\d{1,2}[.):]\s+|(?:first|1st)[,:]\s+)", re.IGNORECASE)
_OPTION = re.compile(r"^\s*(?:[-*•]\s*)?[(\[]?[A-Ha-h][)\].:]\s*\S")
_OPTIONS_INSIDE = re.compile(r"(?:^|\s)[(\[]?A[)\].:]\s*\S.*?\s[(\[]?B[)\].:]\s*\S", re.DOTALL)
_MARK = re.compile(r"[?？؟]")
_TOLD = re.compile(
    r"(?:^|[.,;:!。，；]\s*|\b(?:please|and|then)\s+)"
    r"(?:add|arrange|calculate|choose|classify|compare|complete|compute|convert|count|decide|describe|determine|estimate"
    r"|evaluate|explain|express|fill|find|give|identify|list|locate|match|measure|multiply|name|order|pick|predict|rank"
    r"|read|round|say|select|show|simplify|solve|sort|state|subtract|sum|tell|work out|write)\b"
    r"|^(?:求|计算|找出|写出|列出|数一数|比较|判断)",
    re.IGNORECASE,
)
_QUOTES = (
    ('"', '"'),
    ("“", "”"),
    ("«", "»"),
    ("'", "'"),
    ("‘", "’"),
    ("`", "`"),
    ("**", "**"),
    ("__", "__"),
    ("*", "*"),
)
_PLACEHOLDER = "<image>"


@dataclass(frozen=True, slots=True)
class ReadQuestion:
    """`text` is the question as it can be put to a model, or None; `reason` why there is none."""

    text: str | None
    reason: str | None = None


def read_question(response: str, *, cut_off: bool = False) -> ReadQuestion:
    """The first question of a response. With `cut_off` (the response ended at its length limit), a question that
    nothing follows is incomplete and none. Never raises, whatever the text.

    >>> read_question('Sure! Here is one:\\n\\n1. **"How many dice are red?"**\\nAnswer: 3').text
    'How many dice are red?'
    >>> read_question("I'm sorry, I cannot see a picture.").reason
    'an apology'
    """
    text = printable(response[:_LONGEST])
    if "<think>" in text.lower() and "</think>" not in text.lower():
        return ReadQuestion(None, "a thought without its end")
    text = after_thinking(text).strip()
    tagged = last_tagged(text, "question")
    body = text if tagged is None else tagged.strip()
    found, complete = _block(body)
    complete = complete or tagged is not None or len(response) > _LONGEST
    question = _bare(found)
    first = _first(question)
    complete = complete or len(first) < len(question)
    question = _bare(first)
    if question.startswith(_PLACEHOLDER):
        question = question[len(_PLACEHOLDER) :].lstrip()
    return _judged(question, complete=complete or not cut_off)


def asks(text: str) -> bool:
    """Whether a text asks for something: by a question mark, or by telling the reader what to do."""
    return _MARK.search(text) is not None or _TOLD.search(text) is not None


def _judged(question: str, *, complete: bool) -> ReadQuestion:
    if not any(character.isalnum() for character in question):
        return ReadQuestion(None, "nothing written")
    if apologises(question):
        return ReadQuestion(None, "an apology")
    if "\ufffd" in question:
        return ReadQuestion(None, "broken characters")
    if last_box(question) is not None:
        return ReadQuestion(None, "a box with an answer in it")
    if _PLACEHOLDER in question:
        return ReadQuestion(None, "the placeholder of a picture in the middle")
    if not asks(question):
        return ReadQuestion(None, "it asks nothing")
    if not complete:
        return ReadQuestion(None, "cut off")
    return ReadQuestion(question)


def _block(text: str) -> tuple[str, bool]:
    """The lines that hold the question, and whether more follows them."""
    lines = text.splitlines()
    begin = next((i for i, line in enumerate(lines) if _LABEL.match(line)), None)
    if begin is not None:
        lines = [_LABEL.sub("", lines[begin], count=1), *lines[begin + 1 :]]
    else:
        while lines and (not lines[0].strip(" *_#`-") or _is_preamble(lines)):
            lines = lines[1:]
    kept: list[str] = []
    for i, line in enumerate(lines):
        blank = not line.strip(" *_#`")
        if kept and (_END.match(line) or _LABEL.match(line) or (blank and not _goes_on(lines[i + 1 :], kept))):
            return "\n".join(kept), True
        if kept and _NUMBERING.match(line) and not _OPTION.match(line):
            return "\n".join(kept), True  # the next of several questions
        if not blank:
            kept.append(line.rstrip() if kept else _ANNOUNCED.sub("", line.rstrip(), count=1))
    return "\n".join(kept), False


def _is_preamble(lines: list[str]) -> bool:
    """Whether the first of the lines only announces what comes in the next ones. A premise of the question does not."""
    line = lines[0].strip(" *_#`")
    announces = _PREAMBLE.search(line) is not None and _MARK.search(line) is None
    return announces and any(other.strip(" *_#`-") for other in lines[1:])


def _goes_on(rest: list[str], kept: list[str]) -> bool:
    """Whether, behind a blank line, options follow, or what a line that ends in a colon announced."""
    following = next((line for line in rest if line.strip()), "")
    return bool(_OPTION.match(following)) or kept[-1].rstrip().endswith((":", "："))


def _first(text: str) -> str:
    """The text up to where, behind its first question mark, it asks again or answers. Options stay."""
    mark = _MARK.search(text)
    if mark is None:
        return text
    head, tail = text[: mark.end()], text[mark.end() :]
    if _OPTIONS_INSIDE.search(tail) or not any(character.isalnum() for character in tail):
        return text
    return head if _MARK.search(tail) or _ANSWER_INSIDE.match(tail) else text


def _bare(text: str) -> str:
    """Without numbering, quotes and Markdown around it."""
    for _ in range(6):  # quotes in bold type behind a number
        before = text
        text = _NUMBERING.sub("", text.strip(), count=1).strip()
        text = re.sub(r"^#{1,6}\s+|^>\s*", "", text)
        for opening, closing in _QUOTES:
            inside = text[len(opening) : -len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                text = text if opening in inside or closing in inside else inside
        if text == before:
            break
    return text
