"""Which option of a multiple-choice question does an answer name?"""

from __future__ import annotations

import re
from functools import lru_cache

from mmupt.answers.keys import LONE_LETTER, Key, key_of, number_and_unit
from mmupt.answers.text import tidy

_LABELLED = re.compile(
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])\s*(?:[):]|\.(?=[\s\d\\$])))[\s:.]*(\S.*)", re.DOTALL
)  # a letter with text behind it; `A.M.` is none


@lru_cache(maxsize=4096)
def option_index(answer: str, choices: tuple[str, ...]) -> int | None:
    """Which option an answer names, by letter, by letter and text, or by its text or value; None where it names none.

    A bare letter is a letter first (unless an option is that very lower-case letter). A letter whose text is that of
    another option contradicts itself and names none; a letter with other text (an explanation, a value that is no
    option) names its option.
    """
    text = tidy(answer)
    if text.islower() and text in choices:
        return choices.index(text)
    label = LONE_LETTER.fullmatch(text)
    if label and (index := _letter_index(label[1], choices)) is not None:
        return index
    index = _option_with_text(answer, choices)
    if index is not None:
        return index
    labelled = _LABELLED.fullmatch(text)
    if labelled is None:
        return None
    letter = _letter_index(labelled[1] or labelled[2], choices)
    named = _option_with_text(labelled[3], choices)
    if letter is None or named is None or letter == named:
        return letter
    return letter if _same_option(choices, letter, named) else None


def _letter_index(letter: str, choices: tuple[str, ...]) -> int | None:
    index = ord(letter.upper()) - ord("A")
    return index if index < len(choices) else None


def _same_option(choices: tuple[str, ...], i: int, j: int) -> bool:
    keys = _option_keys(choices)
    return keys[i] == keys[j]


@lru_cache(maxsize=1024)
def _option_keys(choices: tuple[str, ...]) -> tuple[Key, ...]:
    return tuple(key_of(_without_own_label(text, i)) for i, text in enumerate(choices))


def _without_own_label(text: str, index: int) -> str:
    """Some sources write an option as `B. 45 km`."""
    match = _LABELLED.fullmatch(tidy(text))
    if match and (match[1] or match[2]).upper() == chr(ord("A") + index):
        return match[3]
    return text


def _option_with_text(text: str, choices: tuple[str, ...]) -> int | None:
    """The first option with this text or value; a unit that only one side writes may differ, where one option fits."""
    keys = _option_keys(choices)
    key = key_of(text)
    if key in keys:
        return keys.index(key)
    number, unit = number_and_unit(key)
    if number is None:
        return None
    found = []
    for i, option in enumerate(keys):
        value, option_unit = number_and_unit(option)
        if value == number and (not unit or not option_unit):
            found.append(i)
    return found[0] if len(found) == 1 else None
