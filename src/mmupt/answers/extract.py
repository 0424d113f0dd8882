r"""The answer of a response.

Modes: "boxed" reads the last closed `\boxed{...}`; "tag:NAME" the last `<NAME>...</NAME>`; "lenient" takes what it can
get: a box, else "the answer is ...", else an option or number that the last line ends in. A response without an
answer gives None with the reason, never a word that could be mistaken for an answer. Time is linear in the length of
the response.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmupt.answers.text import MAX_LENGTH, printable, tidy


@dataclass(frozen=True, slots=True)
class Extracted:
    """`answer` as written, or None; `where` it was found or looked for; `reason` why there is none."""

    answer: str | None
    where: str
    reason: str | None = None


_BOX_TOKEN = re.compile(r"\\(?:boxed|fbox)\s{0,8}\{|\\.|[{}]", re.DOTALL)
_SPECIAL_TOKEN = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>|<(?:eos|pad|end_of_turn)>")
_LITERAL_NEWLINE = re.compile(r"(?:\\n)+(?![a-z])")  # text that was escaped twice; `\neq` stays
_STATEMENT = re.compile(
    r"\banswers?\b[^\S\n]*(?:to (?:the|this|your) (?:question|problem)[^\S\n]*)?(?:is|are|would be|should be|must be)\b"
    r"[^\S\n]*:?|\banswer\W{0,4}:|答案(?:应该|应)?(?:是|为|选)?[^\S\n]*[:：]?",
    re.IGNORECASE,
)
_STATEMENT_REACH = 300  # characters behind "the answer is" that are looked at
_STATEMENT_END = re.compile(
    r"\n|。|[.!?](?=\s|$)|,?\s(?:because|since|which|as|so|where|or approximately)\s|,\s(?:or|and so)\s|[;]\s"
)
_NUMBER = re.compile(r"(?<![\w.:/^{])[-−]?[$€£¥]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?![\w:/^}])")
_AFTER_VERB = re.compile(
    r"(?:=|\bis|\bare|\bequals|\bbe|\bis:|\bof|≈)[^\S\n]{0,3}\$?[^\S\n]{0,3}"
    r"(?P<value>[-+−]?[$€£¥]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?[^\S\n]?[%°]?|\([A-Z]\)|[A-Z])"
    r"(?=[\s.,;)*$]|$)"
)
_OPTION_LINE = re.compile(r"(?:\(\s*[A-Z]\s*\)|[A-Z]\s*[).])")
_LONGEST_LINE = 4000
_SHORT = 60  # a whole response this short, on one line, is taken for the answer itself if it holds no sentence


def extract(response: str, mode: str = "boxed") -> Extracted:
    """Read the answer of a response in one of the modes "boxed", "lenient" and "tag:NAME".

    Raises ValueError on another mode (settings allow none).

    >>> extract(r"3 + 4 = 7, so \\boxed{7}")
    Extracted(answer='7', where='boxed', reason=None)
    >>> extract("I do not know.").reason
    'no closed box'
    """
    if mode == "boxed":
        return _boxed(response)
    if mode == "lenient":
        return _lenient(response)
    if mode.startswith("tag:") and len(mode) > 4:
        return _tagged(response, mode[4:])
    raise ValueError(f'unknown extraction mode "{mode}": use "boxed", "lenient" or "tag:NAME"')


def _read(answer: str, where: str) -> Extracted:
    """The answer with unprintable characters removed, or the reason why it is none."""
    if len(answer) > MAX_LENGTH:
        return Extracted(None, where, f"longer than {MAX_LENGTH} characters")
    cleaned = printable(answer).strip()
    if not tidy(cleaned):
        return Extracted(None, where, "empty")
    return Extracted(cleaned, where)


def _boxed(response: str) -> Extracted:
    span = _last_box(response)
    return Extracted(None, "boxed", "no closed box") if span is None else _read(response[slice(*span)], "boxed")


def _last_box(text: str) -> tuple[int, int] | None:
    """The content of the last box that is closed: of those, the one that opens last. One pass over the text."""
    best: tuple[int, int] | None = None
    open_braces: list[int | None] = []  # where a box's content starts, None for any other brace
    for match in _BOX_TOKEN.finditer(text):
        token = match[0]
        if token == "{":
            open_braces.append(None)
        elif token == "}":
            start = open_braces.pop() if open_braces else None
            if start is not None and (best is None or start > best[0]):
                best = (start, match.start())
        elif token.endswith("{") and len(token) > 2:
            open_braces.append(match.end())
    return best


def _tagged(response: str, name: str) -> Extracted:
    where = f"tag:{name}"
    content: str | None = None
    start: int | None = None
    for match in re.finditer(rf"<(/?){re.escape(name)}>", response, re.IGNORECASE):
        if not match[1]:
            start = match.end()
        elif start is not None:
            content, start = response[start : match.start()], None
    return Extracted(None, where, f"no <{name}>...</{name}>") if content is None else _read(content, where)


def _lenient(response: str) -> Extracted:
    text = _LITERAL_NEWLINE.sub("\n", _SPECIAL_TOKEN.sub(" ", response)).strip()
    if (box := _boxed(text)).reason != "no closed box":
        return box
    if (statement := _statement(text)) is not None:
        return statement
    return _line(text)


def _statement(text: str) -> Extracted | None:
    """What stands behind the last "the answer is" that has anything behind it."""
    for match in reversed(list(_STATEMENT.finditer(text))):
        behind = text[match.end() : match.end() + _STATEMENT_REACH].lstrip(" \t*:：")
        end = _STATEMENT_END.search(behind)
        answer = _read(behind[: end.start()] if end else behind, "the answer is")
        if answer.answer is not None:
            return answer
    return None


def _line(text: str) -> Extracted:
    """A short response that is nothing but an answer; else an option or number in the last (or first) line."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines or len(lines[-1]) > _LONGEST_LINE:
        return Extracted(None, "last line", "last line too long" if lines else "empty response")
    for line in (lines[-1], lines[0]):
        if _OPTION_LINE.match(line):
            return _read(line[:_STATEMENT_REACH], "letter")
    if values := list(_AFTER_VERB.finditer(lines[-1])):
        return _read(values[-1]["value"], "last line")
    if len(lines) == 1 and len(text) <= _SHORT and len(text.split()) <= 4 and not _STATEMENT.search(text):
        return _read(text, "whole response")
    numbers = list(_NUMBER.finditer(lines[-1]))  # not parts of times or formulas
    if len(numbers) == 1:
        return _read(numbers[0][0], "last line")
    return Extracted(None, "last line", "no box, no statement of an answer, no single value in the last line")
