"""Which option of a multiple-choice question does an answer name?"""

from __future__ import annotations

import re
from functools import lru_cache

from mmupt.answers.text import MAX_LENGTH, tidy
from mmupt.answers.values.allowances import agree, equal
from mmupt.answers.values.keys import LONE_LETTER, key_of
from mmupt.answers.values.kinds import Key

_LABELLED = re.compile(
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])\s*(?:[):]|\.(?=[\s\d\\$]))|([a-z])\s*\))[\s:.]*(\S.*)", re.DOTALL
)  # a letter with text behind it; `A.M.` is none
_LOOSELY_LABELLED = re.compile(r"([A-Za-z])[.,]?\s+(\S.*)", re.DOTALL)  # `B 45 km`
_LABEL_BEHIND = re.compile(r"(.*\S)\s*(?:[(\[]\s*([A-Za-z])\s*[)\]]|,\s*([A-Z]))", re.DOTALL)  # `45 km (B)`
_INTRODUCED = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+)?(?:option|choice|answer|letter)(?:\s+is|\s+choice)?\s*:?\s*(?=[(\[A-Za-z])"
    r"(.*\S)",
    re.IGNORECASE | re.DOTALL,
)
_CALCULATED = re.compile(
    r"((?:[^=A-Za-z<>]|\\[A-Za-z]+)*[0-9](?:[^A-Za-z<>]|\\[A-Za-z]+)*)=\s*(\S[^=]*)"
)  # `4 + 3 = 7`
_PICTURE = re.compile(r"<?\bimage ?([0-9]{1,3})\b>?|<image ?([0-9]{1,3})>", re.IGNORECASE)
_LONGEST_SEVERAL = 200
_BEFORE_SEVERAL = re.compile(r"\A(?:both\s+)?(?:options?\s+)?", re.IGNORECASE)
_BETWEEN_SEVERAL = re.compile(r"[,;&]|\b(?:and|or)\b", re.IGNORECASE)


def option_index(answer: str, choices: tuple[str, ...]) -> int | None:
    """The one option that an answer names; None where it names none, or several."""
    named = options_named(answer, choices)
    return named[0] if len(named) == 1 else None


@lru_cache(maxsize=4096)
def options_named(answer: str, choices: tuple[str, ...]) -> tuple[int, ...]:
    """The options that an answer names, by letter, by letter and text, or by text or value: none, one, or several in
    ascending order (`A, B`, `both B and A`).

    A bare letter is a letter first (unless an option is that very lower-case letter). A letter whose text is that of
    another option contradicts itself and names none; a letter with other text (an explanation, a value that is no
    option) names its option. Of options with one value, written alike, the first stands for all. A calculation names
    what it ends in: the letter of an option or its value, even where its sides differ.
    """
    text = tidy(answer)
    if match := _INTRODUCED.fullmatch(text):
        if (index := _option_with_text(answer, choices)) is not None:
            return (_first(index, choices),)
        text = answer = match[1]
    index = _one_option(answer, text, choices)
    if index is not None:
        return (_first(index, choices),)
    letters = [_letter_index(letter, choices) for letter in _several_letters(text)]
    known = {_first(index, choices) for index in letters if index is not None}
    if not letters and len(text) <= MAX_LENGTH and (calculated := _CALCULATED.fullmatch(text)):
        index = _one_option(calculated[2], tidy(calculated[2]), choices)
        return () if index is None else (_first(index, choices),)
    return tuple(sorted(known)) if None not in letters else ()


def _several_letters(text: str) -> list[str]:
    """The letters of `A, B` and `both (A) and (B)`; none where the text is anything else."""
    if len(text) > _LONGEST_SEVERAL:
        return []
    parts = _BETWEEN_SEVERAL.split(_BEFORE_SEVERAL.sub("", text, count=1))
    labels = [LONE_LETTER.fullmatch(part.strip()) for part in parts if part.strip()]
    letters = [label[1] for label in labels if label]
    return letters if len(letters) == len(labels) > 1 else []


def _one_option(answer: str, text: str, choices: tuple[str, ...]) -> int | None:
    if len(text) == 1 and text.islower() and choices.count(text) == 1:
        return choices.index(text)
    label = LONE_LETTER.fullmatch(text)
    if label and (index := _letter_index(label[1], choices)) is not None:
        return index
    labelled = _LABELLED.fullmatch(text)
    letter = _letter_index(labelled[1] or labelled[2] or labelled[3], choices) if labelled else None
    named = _option_with_text(labelled[4], choices) if labelled and letter is not None else None
    if letter is not None and named is not None and _first(letter, choices) == _first(named, choices):
        return letter
    if letter is not None and named is not None:
        return None  # the letter of one option, the text of another
    index = _option_with_text(answer, choices)
    if index is not None or _several_letters(text):
        return index
    if letter is not None:
        return letter
    if match := _LOOSELY_LABELLED.fullmatch(text):
        return _both(match[1], match[2], choices)
    if match := _LABEL_BEHIND.fullmatch(text):
        return _both(match[2] or match[3], match[1], choices)
    return None


def _both(letter: str, text: str, choices: tuple[str, ...]) -> int | None:
    """The option that both the letter and the text name."""
    index, named = _letter_index(letter, choices), _option_with_text(text, choices)
    if index is None or named is None or _first(named, choices) != _first(index, choices):
        return None
    return index


def _letter_index(letter: str, choices: tuple[str, ...]) -> int | None:
    index = ord(letter.upper()) - ord("A")
    return index if index < len(choices) else None


@lru_cache(maxsize=1024)
def _texts(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Of each option the text without its own label."""
    return tuple(_written(_without_own_label(text, i)) for i, text in enumerate(choices))


def _written(text: str) -> str:
    """White space folded, and one spelling of the placeholders that stand for pictures: `<image5>`, `Image 5`."""
    return " ".join(_PICTURE.sub(r"image \1\2", text).split())


@lru_cache(maxsize=1024)
def _tidied(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tidy(text) for text in _texts(choices))


@lru_cache(maxsize=1024)
def _keys(choices: tuple[str, ...]) -> tuple[Key, ...]:
    """Of each option what it means. Parsing formulas takes time: letters alone never ask for it."""
    return tuple(key_of(text) for text in _texts(choices))


def _first(index: int, choices: tuple[str, ...]) -> int:
    """The first option written like this one, where that is a value. Text, not value: `50%` and `0.5` may both be
    offered. Words stay apart: they may stand for pictures (`<image>`), which only their letters name."""
    texts = _texts(choices)
    first = texts.index(texts[index])
    return index if first == index or key_of(texts[index])[0] == "text" else first


def _without_own_label(text: str, index: int) -> str:
    """Some sources write an option as `B. 45 km`."""
    match = _LABELLED.fullmatch(tidy(text))
    if match and (match[1] or match[2] or match[3]).upper() == chr(ord("A") + index):
        return match[4]
    return text


def _option_with_text(text: str, choices: tuple[str, ...]) -> int | None:
    """The option with this text, else the first with this value, else the only one that `allowances.py` lets pass."""
    texts, written = _texts(choices), _written(text)
    bare = tidy(text)
    if not bare:
        return None
    if texts.count(written) == 1:
        return texts.index(written)
    key, keys = key_of(text), _keys(choices)
    if key[0] == "text" and keys.count(key) > 1:
        return None  # options that stand for pictures: all of one word
    if written in texts:
        return texts.index(written)
    tidied = _tidied(choices)
    if tidied.count(bare) == 1:
        return tidied.index(bare)
    if key in keys:
        return keys.index(key)
    found = [i for i, option in enumerate(texts) if agree(text, option, equal)]
    return found[0] if len(found) == 1 else None
