"""The answer of free model output, wherever it stands. `extract.py` tells the order in which places are looked at."""

from __future__ import annotations

import re

from mmupt.answers.reading.amounts import value_of
from mmupt.answers.reading.boxes import closed_boxes, joined_boxes, unclosed_box
from mmupt.answers.reading.clauses import concluding_clause
from mmupt.answers.reading.cleaning import clean
from mmupt.answers.reading.lines import is_option_line, is_option_list, labelled_line, value_alone, whole_answer
from mmupt.answers.reading.mentions import concluded, letter_as_value, mentioned, names_options, stray_label
from mmupt.answers.reading.openings import answer_first, before_other_options, yes_or_no
from mmupt.answers.reading.refusals import apologises, refuses
from mmupt.answers.reading.sentences import conclusion, denies, final_letter, without_cut
from mmupt.answers.reading.statements import statements
from mmupt.answers.reading.tags import after_thinking, last_tagged
from mmupt.answers.text import MAX_LENGTH, tidy

Found = tuple[str | None, str, str | None]
"""An answer or None, where it was found or looked for, and why there is none."""

_GARBAGE = re.compile(r"\s*<[^<>]{1,200}>\s*")
_NEXT_QUESTION = re.compile(r"\n(?:Question|Hint|Q|Human|User|### ?(?:Human|Question|Instruction)) ?:", re.IGNORECASE)
_CHAIN = re.compile(  # `66 + 8 + 28 = 102` says 102
    r"[\d\s.,+*/×÷·()^{}$%-]{1,300}=\s?([^=]{1,60})"
)
_ANNOUNCED = re.compile(  # "the answer is a list of 8 numbers": what kind of answer, not which
    r"(?:an? (?:list|number|set|integer|decimal)|the following|as follows|based on|found|obtained|calculated|given"
    r"|shown|listed|below)\b(?! ?\d)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")  # options that are values stand behind an equals sign, not within a formula
_CLAUSE_WORDS = 12  # a "statement" with more words is a remark about the answer
_VALUELESS = 4  # sentences without a value that are passed over, from the last one back
_LONGEST_LINE = 4000
_MOST_BOXES = 100


def read_lenient(response: str, choices: tuple[str, ...] | None) -> Found:
    """The answer of a response; `choices` help where it names an option in its own words."""
    response = after_thinking(response)
    if tagged := last_tagged(response, "answer"):
        found = _read_text(tagged, choices)
        if found[0] is not None:
            return found
    return _read_text(response, choices)


def _read_text(response: str, choices: tuple[str, ...] | None) -> Found:
    cleaned = clean(response)
    text, bold = cleaned.text, cleaned.bold
    if not text:
        return None, "whole response", "empty response"
    if _GARBAGE.fullmatch(text[:_LONGEST_LINE]):
        if choices and names_options(text, choices):  # `<image5>`, as options that are pictures are written
            return text, "whole response", None
        return None, "whole response", "no text of an answer"
    first = _NEXT_QUESTION.search(text, 1)
    if first:  # a model that goes on to ask itself the next question has answered before
        found = _read(text[: first.start()].strip(), bold, choices)
        if found[0] is not None or found[2] == "refusal":
            return found
    return _read(text, bold, choices)


def _read(text: str, bold: tuple[str, ...], choices: tuple[str, ...] | None) -> Found:
    text, found = _box(text)
    text, cut = without_cut(text)
    lead = yes_or_no(text, choices)
    if found is None:
        found = _statement(text, choices)
        if choices and lead and found and found[0] and not names_options(found[0], choices):
            found = lead, "first word", None  # a remark about something that is no option
    text = before_other_options(text)
    if found is None and (line := labelled_line(text, choices)):
        found = line, "letter", None
    if found is None and lead:
        found = lead, "first word", None
    answer, where, _ = found = found or _prose(text, bold, choices, cut)
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
    last = closed_boxes(text)[-_MOST_BOXES:]  # of thousands, nobody means the first
    boxes = [box for box in last if tidy(text[box[0] : min(box[1], box[0] + MAX_LENGTH)])]
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
        if choices and stray_label(answer, choices):
            continue
        if refuses(f"{answer} ") or answer.casefold() in ("unknown", "unclear", "not given", "n/a"):
            return None, "the answer is", "refusal"
        if len(answer.split()) <= _CLAUSE_WORDS:
            return answer, "the answer is", None
        value, _ = value_of(answer)
        remark = remark or (value or answer, "the answer is", None)
    return remark


def _prose(text: str, bold: tuple[str, ...], choices: tuple[str, ...] | None, cut: bool) -> Found:
    """An answer in running text. One that was cut off inside a formula concludes nothing."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:  # nothing but what was cut off, or a list of options
        return None, "conclusion", "nothing beside an unfinished box or formula, or a list of options"
    if is_option_list(lines[-1]) or (len(lines) > 1 and all(map(is_option_line, lines))):
        return None, "conclusion", "a list of options"
    if len(lines) == 1 and not cut and (whole := whole_answer(text, choices)):
        return whole, "whole response", None
    for line in lines[:1] if cut else (lines[-1], lines[0]):
        if value := value_alone(line):
            return value, "line of its own", None
    if apologises(text):
        return None, "conclusion", "refusal"
    first = answer_first(text, bold)
    if first and (found := _sentence(first, choices, last=False)) and found[0] is not None:
        return found
    if cut:
        return None, "conclusion", "cut off inside a formula"
    for passed_over, sentence in enumerate(conclusion(text)[: _VALUELESS + 1]):
        if found := _sentence(sentence, choices, last=not passed_over):
            value = found[0]
            letter = choices and value and not names_options(value, choices) and letter_as_value(text, choices)
            return (letter, "letter", None) if letter else found
    return None, "conclusion", "no box, no statement of an answer, no value in the conclusion"


def _sentence(sentence: str, choices: tuple[str, ...] | None, *, last: bool) -> Found | None:
    """What a sentence concludes: an option, else a letter, else a value; None where it speaks of no such thing."""
    value, any_value = value_of(sentence)
    refusal = refuses(sentence)
    if choices and not denies(sentence):
        part = concluding_clause(sentence).rpartition("=")[2] if all(map(_DIGIT.search, choices)) else sentence
        named = {i: words for i, words in concluded(part, choices).items() if not refusal or refuses(f"{words} ")}
        if len(named) == 1:
            return next(iter(named.values())), "option", None
        chosen = final_letter(sentence) or value
        if named and chosen and names_options(chosen, choices):
            return chosen, "option", None
        if named and last and not refusal:
            return None, "conclusion", "names several options"
    if refusal:
        return None, "conclusion", "refusal"
    if letter := final_letter(sentence):
        return letter, "letter", None
    if value is not None:
        return value, "conclusion", None
    return (None, "conclusion", "several values, none of them the conclusion") if any_value else None
