"""The sentences of a response: the last, where it concludes, and the first, where it answers before it explains."""

from __future__ import annotations

import re

_END = re.compile(
    r"\n+|(?<=。)|(?<=[.!?])(?<!\bM[rs]\.)(?<!\bMrs\.)(?<!\b[DS][rt]\.)(?<!\bFig\.)(?<!\bvs\.)(?=\s)"
    r"|(?<=[.!?][)\"”])(?=\s)"
)
_TAIL = 3000
_LONGEST_SENTENCE = 1000
_MOST_SENTENCES = 12

_CLOSING = re.compile(
    r"\bhope (?:this|that|it)\b|\blet me know\b|\banything else\b|\bfeel free\b|\b(?:other|further|more) questions\b"
    r"|\byou(?:'re| are) welcome\b|\bthank you\b|^(?:explanation|note|solution)s?\W*$|\bhappy to help\b"
    r"|^[-=*_`~\s$|]*$",
    re.IGNORECASE,
)
_COURTESY = re.compile(r"(?:sure|certainly|of course|okay|ok|great question|hello|hi)\b", re.IGNORECASE)
_CUT = re.compile(r"(?:(?<![<>=])=|(?<!\\)\\|(?<!\\)[{^]|\\(?:frac|sqrt|times|cdot)|(?<=\s)[+×÷])$")
_FINAL_LETTER = re.compile(
    r"(?:\b(?:is|are|be|option|choice|answer|answers?:|choose|select|pick)(?: (?:option|choice|figure|picture"
    r"|image|letter|in))? ?:? ?"
    r"\(?([A-Z])\)?|\(([A-Z])\)|\b(?:so|thus|hence|therefore),? (?:it(?:'s|’s| is) )?([A-Z]))(?=[\s.,;!*]{0,4}$)"
)
_NEGATIVE = re.compile(
    r"\b(?:incorrect|wrong|would (?:only )?be (?:the )?(?:correct|right)|eliminated?|ruled? out"
    r"|not (?:the )?(?:correct|right|an? option))\b",
    re.IGNORECASE,
)


def conclusion(text: str) -> list[str]:
    """The last sentences, from the last one back, without polite closings and questions."""
    parts = [part.strip(" \t*#>`") for part in _END.split(text[-_TAIL:])]
    kept = [p[-_LONGEST_SENTENCE:] for p in parts if p and not p.endswith("?") and not _CLOSING.search(p[:300])]
    return kept[::-1][:_MOST_SENTENCES]


def opening(text: str) -> list[str]:
    """The first sentences, without "Sure, I can help you with that."."""
    parts = [part.strip(" \t*#>`") for part in _END.split(text[:_TAIL])]
    kept = [p for p in parts if p and not _COURTESY.match(p)]
    return kept[:_MOST_SENTENCES]


def without_cut(text: str) -> tuple[str, bool]:
    """The response up to its last sentence, and True, where it was cut off inside a formula; else all of it."""
    last = text[text.rfind("\n", max(0, len(text) - _TAIL)) + 1 :][-_TAIL:]
    stripped = last.rstrip(" *")
    if not stripped or not (_CUT.search(stripped) or _leaves_open(stripped)):
        return text, False
    ends = [m.end() for m in _END.finditer(last)]
    return text[: len(text) - len(last) + (ends[-1] if ends else 0)].rstrip(), True


def _leaves_open(line: str) -> bool:
    """Whether a line ends inside braces or `$...$`: not where it ends as a sentence, nor for an amount of money."""
    if line[-1] in ".!。":
        return False
    bare = line.replace("\\{", "").replace("\\}", "").replace("\\$", "")
    if bare.count("{") > bare.count("}"):
        return True
    before, _, behind = bare.rpartition("$")
    return bare.count("$") % 2 == 1 and (before[-1:] == " " if not behind else not re.match(r" ?\d", behind))


def denies(sentence: str) -> bool:
    """Whether a sentence speaks of an option to reject it."""
    return _NEGATIVE.search(sentence) is not None


def final_letter(sentence: str) -> str | None:
    """The option's letter that a sentence ends in: "the missing piece is (B).", "so I pick C"."""
    match = _FINAL_LETTER.search(sentence[-80:])
    return None if match is None else (match[1] or f"({match[2] or match[3]})")
