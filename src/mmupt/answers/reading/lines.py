"""Answers that stand alone: an option or a value on a line of its own, a response of a few words or one equation."""

from __future__ import annotations

import re
from itertools import pairwise

from mmupt.answers.reading.amounts import is_value, value_of
from mmupt.answers.reading.formulas import is_equation
from mmupt.answers.reading.mentions import mentioned, names_options, stray_label
from mmupt.answers.reading.refusals import apologises, refuses
from mmupt.answers.text import MAX_LENGTH

_OPTION_LINE = re.compile(r"[ *]{0,4}(?:\([A-Z]{0,2}$|\(?[A-Z]{1,2}[).])")
_LABEL_LINE = re.compile(r"(?:\(\s?([A-Z])\s?\)|([A-Z]) ?(?:[):]|\.(?=\s|$)))(?![A-Za-z])|([A-Z])$")
_VALUE_ALONE = re.compile(r"[-+−$(\[]{0,3}[\d\\.][^A-Za-z\n]{0,60}(?:[A-Za-z°%]{1,3}\d?)?")
_ABOUT_ANSWER = re.compile(r"\banswers?\b", re.IGNORECASE)
_LABEL = re.compile(r"\(([A-Z])\)|(?<![\w.])([A-Z])[).](?= )")
_ARGUES = re.compile(r"\b(?:is|are|was|because|since|so|not|only|than|and|or)\b", re.IGNORECASE)
_SHORT = 60
_FEW_WORDS = 4
_LONGEST_LINE = 4000


def labelled_line(text: str, choices: tuple[str, ...] | None) -> str | None:
    """An option on a line of its own, last or first: `C`, `(C)`, `C. 45 km`; none of a list of all options."""
    lines = [line.strip(" *#") for line in text.split("\n") if line.strip(" *#")]
    if not lines:
        return None
    for line, neighbour in ((lines[-1], lines[-2:-1]), (lines[0], lines[1:2])):
        if is_option_list(line):
            continue
        label = _LABEL_LINE.match(line[:_LONGEST_LINE])
        beside = _LABEL_LINE.match(neighbour[0]) if neighbour else None
        if choices and stray_label(line, choices) and not names_options(line[:MAX_LENGTH], choices):
            continue
        if label and not (beside and beside[0] != label[0]):
            return line[:MAX_LENGTH] if len(line) <= _SHORT or choices else label[0]
    return None


def value_alone(line: str) -> str | None:
    """A line that is a value and nothing else."""
    line = line.strip(" *.")
    return line if len(line) <= _SHORT and _VALUE_ALONE.fullmatch(line) else None


def is_option_line(line: str) -> bool:
    """Whether a line starts with a label, as those of a list of options do; its last line may be cut off: `(AO`."""
    return _OPTION_LINE.match(line) is not None


def is_option_list(line: str) -> bool:
    """Whether a line lists labelled options and says nothing about them: "(A) 0.10 m (B) 0.20 m (C) 0.30 m"."""
    labels = list(_LABEL.finditer(line[:_LONGEST_LINE]))
    if len(labels) < 2 or line[: labels[0].start()].strip() or _ARGUES.search(line[: labels[-1].start()]):
        return False
    return all(
        ord(b[1] or b[2]) - ord(a[1] or a[2]) == 1 and line[a.end() : b.start()].strip(" ,;")
        for a, b in pairwise(labels)
    )


def whole_answer(text: str, choices: tuple[str, ...] | None) -> str | None:
    """A response that is nothing but an answer: a few words, no sentence around a value."""
    if choices and len(text) <= _SHORT and names_options(text, choices):
        return text
    equation = is_equation(text)
    if len(text) > _SHORT or (len(text.split()) > _FEW_WORDS and not equation) or refuses(text) or apologises(text):
        return None
    if _ABOUT_ANSWER.search(text) or (choices and mentioned(text, choices)):
        return None
    value, any_value = value_of(text)
    if value and equation and not is_value(value):
        return text
    return text if not any_value or _VALUE_ALONE.match(text) or text.startswith(value or " ") else None
