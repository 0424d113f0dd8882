r"""The value that a sentence names: "So, the spring is compressed by 1.3 cm."

Only the clause that concludes is read (`clauses.py`), not its premises. There the end of the chain of equalities
decides, unless a later clause states another value ("x = 5 and the perimeter is 20"); else a total, else what stands
behind the last verb, else the only value. Of several values that nothing distinguishes ("x = 3, y = 4", "6 or 7"), none
is taken, and none that is only part of a formula (`formulas.py`): there the whole side behind the last equals sign is
the value. A chain that ends in a blank has none. A number that only counts the noun of a preposition ("the scores for
the 847 observers") is no conclusion, nor is one that belongs to a name ("the A-847 score").
"""

from __future__ import annotations

import re

from mmupt.answers.reading.clauses import concluding_clause, ends_in_blank
from mmupt.answers.reading.formulas import defines_several, last_side, touches_formula

_BEFORE = 60  # characters in front of a value that tell its role

_UNIT = (
    r"(?:(?:square|cubic|sq\.?) )?(?:mm|cm|dm|km|m|in|ft|yd|mi|mg|g|kg|lb|oz|ml|mL|L|s|sec|min|h|hr|mph|kph|N"
    r"|J|W|kW|V|A|Hz|Pa|K"
    r"|degrees?|percent|dollars?|cents?|euros?|(?:kilo|centi|milli|deci)?(?:met(?:er|re)s?|grams?|lit(?:er"
    r"|re)s?)|inch(?:es)?"
    r"|feet|foot|yards?|miles?|pounds?|ounces?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|newtons?"
    r"|joules?|watts?|volts?"
    r"|units?|gallons?|quarts?|pints?|cups?|tons?)(?![^\W²³])(?: ?\^ ?\{?[23]\}?|[²³])?"
    r"(?: ?/ ?[a-zA-Z]{1,6}(?:\^\{?[23]\}?|[²³])?(?!\w)| per [a-z]{1,12})?"
)
_NUMBER_WORDS = (
    "zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
)
_DIGITS = r"\d{1,30}(?:,\d{3}){0,9}(?:\.\d{1,30})?"
_VALUE = re.compile(
    rf"(?P<list>[\[(]-?{_DIGITS}(?:, ?-?{_DIGITS}){{1,20}}[\])])"
    r"|(?<![\w:])(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?|\d{1,4}(?::\d{1,4}){1,3})(?![\w:])"  # or a ratio
    r"|(?P<latex>(?<![\w\\])[-−]?\d{0,12}\\(?:[dt]?frac\{[^{}]{1,30}\}\{[^{}]{1,30}\}|sqrt(?:\[\d\])?\{[^{}]{1,30}\})"
    r"(?: ?\\pi\b)?|(?<![\w\\.^{])[-−]?\d{0,12}(?:\.\d{1,9})?(?:\\pi\b|π|√\d{1,9})(?![\w^]))"
    rf"|(?<![\w.:/^{{\\,])(?P<number>[-−]?[$€£¥]?(?:{_DIGITS}|\.\d{{1,30}})(?: ?(?:\\times|×|x"
    rf"|\*) ?10 ?\^ ?\{{?[-−]?\d{{1,3}}\}}?| ?/ ?\d{{1,12}})?"
    rf" ?(?:%|°|\^ ?\{{?\\circ\}}?)?)(?![\w:/^}}]|,\d|\.\d)(?P<unit> ?{_UNIT})?"
    rf"|\b(?P<word>(?:{_NUMBER_WORDS})(?:-(?:one|two|three|four|five|six|seven|eight|nine))?|(?<=are )no"
    rf"|(?<=is )one|(?<=only )one"
    r"|(?<=exactly )one)\b(?! of\b)",
    re.IGNORECASE,
)
_LABELLED_NUMBER = re.compile(
    r"\b(?:figures?|fig\.|steps?|images?|tables?|equations?|eq\.|datasets?|questions?|problems?|parts?"
    r"|sections?|rows?|columns?"
    r"|lines?|class|grade|case|level|example|method|phase|chapter|page) \(?$",
    re.IGNORECASE,
)
_NAME_WITH_NUMBER = re.compile(r"\b[A-Z]+-$")  # A-847; a subtraction has its equals sign
_MODIFIES = re.compile(  # for the 847 observers, of the 12 months, from 35 people
    r"\b(?:(?P<these>(?:for|of|from|in|over|among|across|at|with|during|within) "
    r"(?:the|all|all the|these|those|his|her|their|its))|from|among|across|out of) $",
    re.IGNORECASE,
)
_NOUN = re.compile(r" (?!(?:to|and|or|is|are|was|were|by|in|on|at|as|of)\b)[a-z]{2}")
_ASIDE = re.compile(r"\b(?:which|than|while|whereas|(?<!total )of)\b|\s\(", re.IGNORECASE)
_EQUALS = re.compile(r"(?:[=≈→]|\\approx|\\rightarrow)[\s$*({]{0,4}$")
_VERB = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|equal to|gives?|get|gets|has|have|had|needs?|costs?|leaves?"
    r"|left with|makes?|made|spent|spends?"
    r"|totals?|measures?|weighs?|yields?|becomes?|contains?|shows?|takes?|rounds? to|comes to|sold|saw|picked"
    r"|:)|['’]s|[为是有剩])"
    r"(?: (?:about|approximately|around|roughly|exactly|only|just|a total of|a distance of|also|still"
    r"|therefore|thus|now"
    r"|at least|at most|then|equal to|only about|nearly|almost|:)){0,2}[\s$*(:]{0,3}$",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"\b(?:(?:for|is|of|to|in) )?(?:a|the|an overall) (?:grand )?total of(?: about| approximately)?[\s$*(]{0,3}$",
    re.IGNORECASE,
)
_OF = re.compile(r"\b(?:of|by|to)(?: (?:about|approximately))?[\s$*(]{0,3}$", re.IGNORECASE)
_MATHS = re.compile(r"(?<![\\\d])\$(?! ?\d[\d,.]* [a-z]{2})([^$\n]{1,200})\$(?!\d)|\\[(\[]([^\n]{1,200}?)\\[)\]]")
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]{0,60})\}|\\[,;:! ]|~")
_NEXT_TO_HAN = re.compile(r"(?<=[一-龥])(?=[-\d\\])|(?<=\d)(?=[一-龥])")
_NEXT_NAME = re.compile(r" ?(?:,|;|and|or|, and|, or) ?(?:[A-Za-z]|[A-Z]{2}) ?= ?")


def is_value(text: str) -> bool:
    """Whether a text is one number, time or fraction, with its unit, and nothing else."""
    return _VALUE.fullmatch(text.strip("(){} ")) is not None


def value_of(sentence: str) -> tuple[str | None, bool]:
    """The value that a sentence names, and whether it names any; (None, True) where nothing tells several apart.

    >>> value_of("so the slope is m = 12/4 = 3")
    ('3', True)
    >>> value_of("The line is y = 3x + 2.")
    ('3x + 2', True)
    """
    plain = _WRAPPED.sub(lambda m: (m[1] or " ").replace("~", " "), _MATHS.sub(lambda m: f" {m[1] or m[2]} ", sentence))
    plain = _NEXT_TO_HAN.sub(" ", plain)
    if ends_in_blank(plain):
        return None, True
    plain = concluding_clause(plain)
    side = last_side(plain)
    if side is not None and not is_value(side):
        return (None if defines_several(plain) else side), True
    found = [m for m in _VALUE.finditer(plain) if not _is_name(plain, m)]
    roles = {rule: [m for m in found if rule.search(_before(plain, m))] for rule in (_EQUALS, _TOTAL, _VERB, _OF)}
    if _goes_on(plain, roles[_EQUALS], roles[_TOTAL] or roles[_VERB]):
        del roles[_EQUALS]
    for chosen in roles.values():
        if chosen:
            alone = not _one_of_several(plain, chosen, found) and not touches_formula(plain, *chosen[-1].span())
            return (_written(chosen[-1]) if alone else None), True
    found = [m for m in found if not _modifies(plain, m)]
    if not found:
        return None, False
    if len({_written(m) for m in found}) == 1 and not touches_formula(plain, *found[-1].span()):
        return _written(found[-1]), True
    return None, True


def _before(plain: str, match: re.Match[str]) -> str:
    return plain[max(0, match.start() - _BEFORE) : match.start()]


def _is_name(plain: str, match: re.Match[str]) -> bool:
    """Whether a number belongs to a label or a name: "Figure 3", "the A-847 score"."""
    before = _before(plain, match)[-20:]
    return _LABELLED_NUMBER.search(before) is not None or (
        match["number"] is not None and "=" not in plain and _NAME_WITH_NUMBER.search(before) is not None
    )


def _modifies(plain: str, match: re.Match[str]) -> bool:
    """Whether a number only counts the noun of a preposition: "for the 847 observers", "of the 12 months"."""
    preposition = _MODIFIES.search(_before(plain, match))
    if preposition is None:
        return False
    return preposition["these"] is not None if match["unit"] else _NOUN.match(plain, match.end()) is not None


def _goes_on(plain: str, equal: list[re.Match[str]], stated: list[re.Match[str]]) -> bool:
    """Whether a sentence states another value behind that of its last equals sign: "x = 5 and the perimeter is 20"."""
    if not equal or not stated or stated[-1].start() <= equal[-1].start():
        return False
    return _ASIDE.search(plain, equal[-1].end(), stated[-1].start()) is None


def _one_of_several(plain: str, chosen: list[re.Match[str]], found: list[re.Match[str]]) -> bool:
    """Whether the last chosen value stands beside another on the same footing: "6 or 7", "x = 3, y = 4"."""
    last = chosen[-1]
    behind = next((m for m in found if m.start() >= last.end()), None)
    if behind and plain[last.end() : behind.start()].strip() in ("or", "and", "to", "-", ","):
        return True
    return len(chosen) > 1 and _NEXT_NAME.fullmatch(plain[chosen[-2].end() : last.start()][:40]) is not None


def _written(match: re.Match[str]) -> str:
    return " ".join(match[0].split())
