"""Which options of a multiple-choice question does running text mention?"""

from __future__ import annotations

import re
from functools import lru_cache

from mmupt.answers.choices import options_named
from mmupt.answers.reading.formulas import is_factor, touches_formula
from mmupt.answers.text import MAX_LENGTH, tidy

_LABEL = re.compile(r"\(([A-Z])\)|\b(?:[Oo]ption|OPTION|[Cc]hoice|[Aa]nswer|[Ll]etter)s? \(?([A-Z])\b(?! [a-z]{4})")
_LABEL_LIST = re.compile(r"\(?\b[A-Z]\b\)?(?:(?:,? (?:and|or) |, ?)\(?[A-Z]\b\)?){2,}+")
_LEADING_LABEL = re.compile(r"\(([A-Z])\)|([A-Z])(?=$|[).:,\n]| ?\()")
_MATHS = re.compile(r"[\dπ√\\]")
_LETTER_AS_VALUE = re.compile(r"(?:\b(?:is|are|be|equals)|=) \(([A-Z])\)(?=[\s.,;]|$)")
_LONGEST_OPTION = 200
_WINDOW = 1000
_LONGEST_TEXT = 4000
_SIDE_CLAUSE = re.compile(
    r",? (?:because|since|as|which|where|while|whereas|than|rather|instead|compared|unlike|but not)\b"
)
_PREDICATE = re.compile(r"\b(?:is|are|was|were|be|=|≈)\s")
_DENIED = re.compile(r"\bnot (?:the |an? )?$", re.IGNORECASE)
_VERB_BEHIND = re.compile(r" (?:is|has|was|and|or|because|shows|would|will|can|does|have|with|since)\b")


def mentioned(text: str, choices: tuple[str, ...]) -> dict[int, str]:
    """The options that a sentence names, each with the words that name it.

    Labels such as `(B)` or `option B` are looked for first; where there are none, the options' texts, of which the
    longest wins where they contain each other ("quarter past" is not "quarter"). Options that are single letters count
    only as capitals, and not as the words "A" and "I". A list of three labels or more ("A, B, C or D") names none, and
    a number that is part of a formula is no option. Where label and text name different options, both are returned.

    >>> mentioned("The length of AC is 5cm.", ("6cm", "7cm", "4cm", "5cm"))
    {3: '5cm'}
    """
    window = _LABEL_LIST.sub(" ", text[-_WINDOW:])
    found: dict[int, str] = {}
    for match in _LABEL.finditer(window):
        index = ord(match[1] or match[2]) - ord("A")
        if index < len(choices):
            found.setdefault(index, f"({match[1] or match[2]})")
    texts = _texts(window, choices)
    if not found:
        return texts
    if len(found) == 1 and len(texts) == 1:
        return found | texts
    return found


def concluded(sentence: str, choices: tuple[str, ...]) -> dict[int, str]:
    """The options that a sentence concludes with: those it mentions; of several, the one of its main clause, or of what
    stands behind that clause's last verb, where that is only one.

    >>> concluded("It hurts the owls most, as they eat mice.", ("mice", "owls"))
    {1: 'owls'}
    """
    found = mentioned(sentence, choices)
    if len(found) < 2:
        return found
    clause = _SIDE_CLAUSE.split(sentence[-_WINDOW:], maxsplit=1)[0]
    predicate = _PREDICATE.split(clause)[-1]
    for part in (clause, predicate):
        if len(named := mentioned(part, choices)) == 1:
            return named
    return found


def names_options(answer: str, choices: tuple[str, ...]) -> bool:
    """Whether an answer as it stands names options: one, or several ("A and C")."""
    return len(answer) <= MAX_LENGTH and bool(options_named(answer, choices))


def letter_as_value(text: str, choices: tuple[str, ...]) -> str | None:
    """The label that a text last states as a value: "the length of AC is (D)."."""
    labels = [label[1] for label in _LETTER_AS_VALUE.finditer(text[-_LONGEST_TEXT:])]
    return f"({labels[-1]})" if labels and ord(labels[-1]) - ord("A") < len(choices) else None


def stray_label(text: str, choices: tuple[str, ...]) -> str | None:
    """The label at the front of a text that lies beyond the last option: the `(D)` of `(D) red` where there are two."""
    label = _LEADING_LABEL.match(text)
    return label[0] if label and ord(label[1] or label[2]) - ord("A") >= len(choices) else None


def _texts(window: str, choices: tuple[str, ...]) -> dict[int, str]:
    pattern = _pattern(choices)
    found: dict[int, str] = {}
    for match in pattern.finditer(window) if pattern else ():
        words = match[0]
        if len(words) == 1 and words.isalpha() and (words.islower() or _is_word(window, match)):
            continue
        if _MATHS.search(words) and (touches_formula(window, *match.span()) or is_factor(window, *match.span())):
            continue
        if _DENIED.search(window[max(0, match.start() - 12) : match.start()]):
            continue
        for index in options_named(words, choices)[:1]:
            found.setdefault(index, words)
    return found


def _is_word(window: str, match: re.Match[str]) -> bool:
    """The letters A and I in front of a small letter are words, unless a verb follows: "kite A is"."""
    behind = window[match.end() : match.end() + 12]
    if match[0] not in "AI" or not re.match(r"[ '’][a-z]", behind):
        return False
    start_of_sentence = not window[: match.start()].strip()
    return match[0] == "I" or start_of_sentence or not _VERB_BEHIND.match(behind)


@lru_cache(maxsize=1024)
def _pattern(choices: tuple[str, ...]) -> re.Pattern[str] | None:
    """Any option's text on word boundaries, longest first; white space may differ."""
    written = {tidy(choice) for choice in choices} | {" ".join(choice.split()) for choice in choices}
    texts = sorted((t for t in written if 0 < len(t) <= _LONGEST_OPTION), key=lambda t: (-len(t), t))
    if not texts:
        return None
    spaced = (re.escape(t).replace(r"\ ", " ?") for t in texts)
    return re.compile(rf"(?<![\w.\\/^{{])(?:{'|'.join(spaced)})(?![\w^/]|\.\d)", re.IGNORECASE)
