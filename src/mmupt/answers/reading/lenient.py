"""The answer of free model output, wherever it stands. `extract.py` tells the order in which places are looked at."""

from __future__ import annotations

import re

from mmupt.answers.reading.boxes import closed_boxes, joined_boxes, unclosed_box
from mmupt.answers.reading.mentions import concluded, mentioned, names_options
from mmupt.answers.reading.sentences import (
    apologises,
    before_other_options,
    conclusion,
    denies,
    final_letter,
    refuses,
    value_of,
)
from mmupt.answers.reading.statements import statements
from mmupt.answers.text import MAX_LENGTH, printable, tidy

Found = tuple[str | None, str, str | None]
"""An answer or None, where it was found or looked for, and why there is none."""

_SPECIAL_TOKEN = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>|<(?:eos|pad|end_of_turn)>")
_LITERAL_NEWLINE = re.compile(r"(?:\\n)+(?![a-z])")  # text that was escaped twice; `\neq` stays
_SPACES = re.compile(r"[^\S\n]+")
_EMPHASIS = re.compile(r"(?<![\w)*}])\*\*(?!\*)|(?<!\*)\*\*(?![\w(*\\])")
_BROKEN_BOX = re.compile(r"\x08oxed\b|(?<![\\\w])boxed(?=\{)")  # an escape or a backslash that was lost
_GARBAGE = re.compile(r"\s*<[^<>]{1,200}>\s*")
_NEXT_QUESTION = re.compile(r"\n(?:Question|Hint|Q|Human|User|### ?(?:Human|Question|Instruction)) ?:", re.IGNORECASE)
_LABEL_LINE = re.compile(r"(?:\(\s?([A-Z])\s?\)|([A-Z]) ?(?:[):]|\.(?=\s|$)))(?![A-Za-z])|([A-Z])$")
_YES_NO = re.compile(r"(yes|no)\b(?=[,.!:;\n]|$| (?:there|the|it|this|they)\b)", re.IGNORECASE)
_CHAIN = re.compile(  # `66 + 8 + 28 = 102` says 102
    r"[\d\s.,+*/×÷·()^{}$%-]{1,300}=\s?([^=]{1,60})"
)
_VALUE_ALONE = re.compile(r"[-+−$(\[]{0,3}[\d\\.][^A-Za-z\n]{0,60}(?:[A-Za-z°%]{1,3}\d?)?")
_ABOUT_ANSWER = re.compile(r"\banswers?\b", re.IGNORECASE)
_ANNOUNCED = re.compile(  # "the answer is a list of 8 numbers": what kind of answer, not which
    r"(?:an? (?:list|number|set|integer|decimal)|the following|as follows|based on|found|obtained|calculated|given"
    r"|shown|listed|below)\b(?! ?\d)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")  # options that are values stand behind an equals sign, not within a formula
_SHORT = 60
_FEW_WORDS = 4
_CLAUSE_WORDS = 12  # a "statement" with more words is a remark about the answer
_VALUELESS = 4  # sentences without a value that are passed over, from the last one back
_LONGEST_LINE = 4000


def read_lenient(response: str, choices: tuple[str, ...] | None) -> Found:
    """The answer of a response; `choices` help where it names an option in its own words."""
    text = _clean(response)
    if not text:
        return None, "whole response", "empty response"
    if _GARBAGE.fullmatch(text[:_LONGEST_LINE]):
        return None, "whole response", "no text of an answer"
    first = _NEXT_QUESTION.search(text, 1)
    if first:  # a model that goes on to ask itself the next question has answered before
        found = _read(text[: first.start()].strip(), choices)
        if found[0] is not None or found[2] == "refusal":
            return found
    return _read(text, choices)


def _clean(response: str) -> str:
    text = _BROKEN_BOX.sub(r"\\boxed", response)
    text = printable(_LITERAL_NEWLINE.sub("\n", _SPECIAL_TOKEN.sub(" ", text)))
    return _EMPHASIS.sub("", _SPACES.sub(" ", text)).strip()


def _read(text: str, choices: tuple[str, ...] | None) -> Found:
    text, found = _box(text)
    found = found or _statement(text, choices)
    text = before_other_options(text)
    found = found or _labelled_line(text, choices)
    answer, where, _ = found = found or _prose(text, choices)
    chain = _CHAIN.fullmatch(answer) if answer is not None and len(answer) <= MAX_LENGTH else None
    return (chain[1].strip(), where, None) if chain and tidy(chain[1]) else found


def _box(text: str) -> tuple[str, Found | None]:
    """The last box with content, and the text without a box in which it was cut off."""
    cut = unclosed_box(text)
    if cut is not None:
        content = text[slice(*cut)]
        if cut[1] < len(text) and tidy(content):
            return text, (content.strip(), "boxed", None)
        if cut[1] == len(text):
            text = text[: text.rfind("\\", 0, cut[0])].rstrip(" $*")
    boxes = [box for box in closed_boxes(text) if tidy(text[box[0] : min(box[1], box[0] + MAX_LENGTH)])]
    if not boxes:
        return text, None
    contents = [text[slice(*box)].strip() for box in joined_boxes(text, boxes)]
    answer = ", ".join(contents)
    if len(answer) > MAX_LENGTH:
        return text, (None, "boxed", f"longer than {MAX_LENGTH} characters")
    return text, (answer, "boxed", None)


def _statement(text: str, choices: tuple[str, ...] | None) -> Found | None:
    """The last statement that says something an answer can be."""
    remark: Found | None = None
    for answer in statements(text):
        if not tidy(answer) or _ANNOUNCED.match(answer):
            continue
        if choices and names_options(answer, choices):
            return answer, "the answer is", None
        if choices and len(named := mentioned(answer, choices)) == 1:
            return next(iter(named.values())), "the answer is", None
        if refuses(f"{answer} ") or answer.casefold() in ("unknown", "unclear", "not given", "n/a"):
            return None, "the answer is", "refusal"
        if len(answer.split()) <= _CLAUSE_WORDS:
            return answer, "the answer is", None
        value, _ = value_of(answer)
        remark = remark or (value or answer, "the answer is", None)
    return remark


def _labelled_line(text: str, choices: tuple[str, ...] | None) -> Found | None:
    """An option on a line of its own, last or first: `C`, `(C)`, `C. 45 km`; none of a list of all options."""
    lines = [line.strip(" *#") for line in text.split("\n") if line.strip(" *#")]
    if not lines:
        return None
    for line, neighbour in ((lines[-1], lines[-2:-1]), (lines[0], lines[1:2])):
        label = _LABEL_LINE.match(line[:_LONGEST_LINE])
        beside = _LABEL_LINE.match(neighbour[0]) if neighbour else None
        if label and not (beside and beside[0] != label[0]):
            return (line[:MAX_LENGTH] if len(line) <= _SHORT or choices else label[0]), "letter", None
    return None


def _prose(text: str, choices: tuple[str, ...] | None) -> Found:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:  # nothing but a box that was cut off, or a list of options
        return None, "conclusion", "nothing beside an unfinished box or a list of options"
    lead = _YES_NO.match(text.lstrip("*# "))
    if lead and (choices is None or any(c.strip().casefold() == lead[1].casefold() for c in choices)):
        return lead[1], "first word", None
    if len(lines) == 1 and (whole := _whole(text, choices)):
        return whole, "whole response", None
    for line in (lines[-1], lines[0]):
        if len(line) <= _SHORT and _VALUE_ALONE.fullmatch(line.strip(" *.")):
            return line.strip(" *."), "line of its own", None
    if apologises(text):
        return None, "conclusion", "refusal"
    for passed_over, sentence in enumerate(conclusion(text)[: _VALUELESS + 1]):
        value, any_value = value_of(sentence)
        part = sentence.rpartition("=")[2] if choices and all(map(_DIGIT.search, choices)) else sentence
        if choices and not denies(sentence) and (named := concluded(part, choices)):
            if len(named) == 1:
                return next(iter(named.values())), "option", None
            chosen = final_letter(sentence) or value
            if chosen and names_options(chosen, choices):
                return chosen, "option", None
            if not passed_over and not refuses(sentence):
                return None, "conclusion", "names several options"
        if refuses(sentence):
            return None, "conclusion", "refusal"
        if letter := final_letter(sentence):
            return letter, "letter", None
        if value is not None:
            return value, "conclusion", None
        if any_value:
            return None, "conclusion", "several values, none of them the conclusion"
    return None, "conclusion", "no box, no statement of an answer, no value in the conclusion"


def _whole(text: str, choices: tuple[str, ...] | None) -> str | None:
    """A response that is nothing but an answer: a few words, no sentence around a value."""
    if choices and len(text) <= _SHORT and names_options(text, choices):
        return text
    if len(text) > _SHORT or len(text.split()) > _FEW_WORDS or refuses(text) or apologises(text):
        return None
    if _ABOUT_ANSWER.search(text) or (choices and mentioned(text, choices)):
        return None
    value, any_value = value_of(text)
    return text if not any_value or _VALUE_ALONE.match(text) or text.startswith(value or " ") else None
