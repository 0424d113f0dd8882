r"""Statements of an answer in running text: "the correct answer is", "Answer:", "(B) is correct", "故选", "#### 12".

The text is that of `lenient.py`: printable, without Markdown emphasis, white space within a line collapsed, so that
no pattern here needs a quantifier without a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_VERB = (
    r"(?:is|are|was|would be|should be|must be|will be|has to be|comes out to(?: be)?|becomes|turns out to be"
    r"|equals)\b"
)
_NOT = r"(?! ?(?:not\b|n't|n’t|incorrect|wrong))"
_STATED = re.compile(
    # the answer to your question is ...; the correct answer choice should be ...
    rf"(?<!\bto )(?<!\bcan )\banswers?(?: choice| option| value)?(?: letter)?(?: (?:to|for|of|here|in|from"
    rf"|based)\b[^\n.!?:=]{{0,120}}?)?"
    rf"(?: {_VERB}{_NOT}| ?=) ?:?"
    # Answer: ...; Final Answer (a heading); Ans. ...; #### 12
    r"|\banswers?\b(?: (?:choice|option))?(?: letter)?\W{0,4}:|\bans ?[:.=]"
    r"|(?:^|\n)[#*_ ]{0,6}(?:the )?(?:final |correct )?answer[*_ .]{0,4}(?=\n)|(?:^|\n)#### "
    # the correct option is ...; I choose (B)
    rf"|\b(?:correct|right|best|appropriate|final) "
    r"(?:(?:option|choice)(?: letter)?|letter|solution|response|statement|value|result)"
    rf"(?: (?:to|for|of|in|from)\b[^\n.!?:=]{{0,120}}?)?(?: {_VERB}{_NOT} ?:?| ?:)"
    r"|\b(?:option|choice|letter)(?: letter)? (?:is|would be|should be) ?:?(?= \(?(?-i:[A-Z])\b)"
    r"|\bI(?: would|'d|’d| will|'ll)? (?:choose|select|pick|go with|chose)(?: the)?(?: answer| option"
    r"| choice)?(?= \(?(?-i:[A-Z])\b)"
    # Chinese, Japanese, Korean, Spanish, French, Portuguese, Italian, German, Russian
    r"|(?:答案|正确选项|正确的选项|答え|正解)(?:应该|应|就|也)?(?:[是为選选は]|为是)? ?:?"
    r"(?=[ \n]?[A-Z(\d\\$\-~是为一-龥ァ-ヶ가-힣])"
    r"|(?:故|应|应该|因此|所以|可|[,。;])(?:选择|选项为|选项是|选)[项的是:]{0,3} ?(?=\(?[A-Z])"
    r"|(?:정답|답)[은는] ?:?|(?:정답|답) ?:|\bответ ?:|\bответ[ом]{0,2} (?:является )?[-–—]"
    r"|\b(?:respuesta|réponse|resposta|risposta|antwort)(?: (?:correcta|final|correcte|finale|correta|corretta))?"
    r"(?: (?:es|est|é|è|ist|lautet)\b ?:?| ?:)",
    re.IGNORECASE,
)
_LETTER_FIRST = re.compile(
    r"(?:\(([A-Z])\)|\b(?i:option|choice|answer|statement|figure|image|picture) \(?([A-Z])\b\)?"
    r"|(?<![\w'$\\])([A-Z])\b)"
    r"[^\n.!?():$\\=]{0,60}? is (?:therefore |thus |clearly |indeed )?"
    r"(?:the (?:most likely |only )?(?:correct |right |best |final )?(?:answer|option|choice)|correct)(?=[\s.,!;]|$)"
)
_REACH = 300
_MOST_STATEMENTS = 60  # of a response that repeats itself, only the last are looked at
_END = re.compile(
    r"\n|。|(?<!\bM[rs])(?<!\bMrs)(?<!\b[DS][rt])[.!?](?=\s|$)"
    r"|,? (?:because|since|which|as|so|where|or approximately) |, (?:or|and so|and the|but|with|not) |; "
    r"|因为|,因| ?です"
)
_HEDGE = re.compile(
    r"(?:(?:therefore|thus|hence|simply|just|clearly|definitely|likely|most likely|probably|indeed|still"
    r"|approximately"
    r"|about|around|roughly|exactly|equal to|given by|that|actually|the letter|the option|the number|letter"
    r"|(?:the )?(?:answer )?(?:option|choice|answer))\b[,: ]{1,3}|[≈~] ?)",
    re.IGNORECASE,
)
_LETTER_AND_TEXT = re.compile(r"([A-Z]) ?\(([^()]{1,200})\)")
_NO_CONTENT = "*#_ \t:$-–—[\\"


def statements(text: str) -> Iterator[str]:
    """What stands behind each statement, or the letter in front of it, from the last to the first; never empty."""
    found: list[tuple[int, str | None]] = [(m.end(), None) for m in _STATED.finditer(text)]
    found += [(m.end(), f"({m[1] or m[2] or m[3]})") for m in _LETTER_FIRST.finditer(text)]
    for end, letter in sorted(found, key=lambda entry: entry[0])[::-1][:_MOST_STATEMENTS]:
        if letter := letter or _behind(text[end : end + _REACH]):
            yield letter


def _behind(window: str) -> str:
    """The first line with any content, to the end of its sentence or main clause, without "approximately" and such."""
    line = next((line for line in window.split("\n")[:6] if line.strip(_NO_CONTENT)), "").lstrip("*#_ \t:：")
    for _ in range(3):
        hedge = _HEDGE.match(line)
        if not hedge:
            break
        line = line[hedge.end() :]
    if line[:1] == '"' and '"' in line[1:]:  # {"answer": "B"}
        return line[1 : line.index('"', 1)].strip()
    end = _END.search(line)
    answer = (line[: end.start()] if end else line).strip(" *_")
    if answer.endswith("}") and "{" not in answer:  # {"answer": 20}
        answer = answer.rstrip("} ")
    labelled = _LETTER_AND_TEXT.fullmatch(answer)
    return f"({labelled[1]}) {labelled[2]}" if labelled else answer
