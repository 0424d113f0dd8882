"""The clause of a sentence that concludes: "Since x = 5, the perimeter is 20." concludes in its second half.

What follows "so", "therefore", "then" or "which gives" is the conclusion. A clause opened by "since", "because", "if"
or "given" is a premise, in front of the conclusion or behind it, and so is one opened by "with", "as", "when" or
"where", which may also carry the only value of its sentence ("The tallest is blue, with 31 points.").
"""

from __future__ import annotations

import re

_CONNECTIVE = re.compile(
    r"(?:^|[,;:] |\band |[–—] ?)\s?(?:so|therefore|thus|hence|then|consequently|which (?:means|gives|makes|implies))\b"
    r"|\b(?:so|therefore|thus|hence|which (?:means|gives))(?= (?:the|its?|we|there|this)\b| [∠△]| \w{1,3} =)",
    re.IGNORECASE,
)
_FRONT = re.compile(r"\W{0,3}(?:(since|because|if|given)|with|as|when|where)\b[^\n]*?, ", re.IGNORECASE)
_BEHIND = re.compile(r",? (?:(since|because|if|given that)|(?<=, )(?:given|with|as|when|where))\b", re.IGNORECASE)
_SAYS = re.compile(r"\d|\\pi|π|\\sqrt|(?<!\w)(?:no|two|three|four|five|six|seven|eight|nine|ten)\b|=", re.IGNORECASE)
_BLANK = re.compile(r"=[\s$({\\]{0,6}(?:blank|[_?…]{0,60}|\.{3})[\s$)}\\]{0,6}\.?\s?$", re.IGNORECASE)
_PREDICATE = re.compile(r"\b(?:is|are|was|were|be|equals?|has|have|had|gets?|costs?)\b|[=≈为是]", re.IGNORECASE)
_LONGEST_SIDE = 200
_MOST = 20  # connectives that are tried


def concluding_clause(sentence: str) -> str:
    """The sentence without its premises, from the last connective on behind which anything is said.

    >>> concluding_clause("x = 5, so the perimeter is 20, since it has 4 sides.")
    ' the perimeter is 20'
    >>> concluding_clause("Since x = 5, the perimeter is 20.")
    'the perimeter is 20.'
    """
    clause = sentence
    for connective in list(_CONNECTIVE.finditer(sentence))[::-1][:_MOST]:
        behind = sentence[connective.end() :]
        if _SAYS.search(behind):
            clause = behind
            break
    return _without_premises(clause)


def ends_in_blank(sentence: str) -> bool:
    """Whether the last equals sign of a sentence leaves its value open: "angle BOC = (blank).", "x = ____"."""
    _, sign, side = sentence.rpartition("=")
    return bool(sign) and len(side) <= _LONGEST_SIDE and _BLANK.match(sign + side) is not None


def _without_premises(clause: str) -> str:
    front = _FRONT.match(clause)
    if front and (front[1] or _SAYS.search(clause[front.end() :])):
        clause = clause[front.end() :]
    behind = _BEHIND.search(clause)
    if not behind:
        return clause
    main, comma = clause[: behind.start()], clause.find(", ", behind.end())
    if _SAYS.search(main) and (comma < 0 or _PREDICATE.search(main)):
        return main
    rest = main + clause[comma + 1 :] if comma >= 0 else main  # "The perimeter, since x = 5, is 20."
    return rest if behind[1] or _SAYS.search(rest) else clause
