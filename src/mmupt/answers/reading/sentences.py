r"""The value that the conclusion of a response names: "So, the spring is compressed by 1.3 cm."

No statement word helps here. Sentences are read from the last one back; polite closings are passed over, a refusal
ends the search, and the first sentence with a value decides: by the end of its chain of equalities, else by a total,
else by what stands behind its last verb, else by being the only value. Of several values that nothing distinguishes
("x = 3, y = 4", "6 or 7"), none is taken.
"""

from __future__ import annotations

import re

_END = re.compile(
    r"\n+|(?<=。)|(?<=[.!?])(?<!\bM[rs]\.)(?<!\bMrs\.)(?<!\b[DS][rt]\.)(?<!\bFig\.)(?<!\bvs\.)(?=\s)|(?<=[.!?][)\"”])(?=\s)"
)
_TAIL = 3000
_LONGEST_SENTENCE = 1000
_MOST_SENTENCES = 12
_BEFORE = 60  # characters in front of a value that tell its role

_CLOSING = re.compile(
    r"\bhope (?:this|that|it)\b|\blet me know\b|\banything else\b|\bfeel free\b|\b(?:other|further|more) questions\b"
    r"|\byou(?:'re| are) welcome\b|\bthank you\b|^(?:explanation|note|solution)s?\W*$|\bhappy to help\b"
    r"|^[-=*_`~\s$|]*$",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:can ?not|can't|can’t|could not|couldn't|unable to|not able to|not possible to|impossible to) (?:be )?"
    r"(?:accurately |definitively |directly |exactly )?"
    r"(?:determined?|answer(?:ed)?|tell|say|provide|see|view|calculated?|solved?|identify|identified|access"
    r"|comput\w+|process)\b"
    r"|\b(?:does not|doesn't|do not|don't|did not|without)(?: \w+){0,2} (?:enough|sufficient|more|additional"
    r"|any|the|specific)?"
    r" ?(?:information|context|details|images?|figures?|picture)\b|\b(?:not enough|insufficient|no"
    r"|lack of) (?:\w+ ){0,2}?information\b"
    r"|无法(?:确定|回答|判断)|不能确定|抱歉",
    re.IGNORECASE,
)
_APOLOGY = re.compile(
    r"\W{0,3}(?:(?:I'm|I’m|I am|we are) (?:(?:very|so|really) )?(?:sorry|afraid|unable|not able)|sorry\b"
    r"|I apologi[sz]e|unfortunately|as an ai\b|I (?:cannot|can't|can’t)\b|对不起|很抱歉|抱歉)",
    re.IGNORECASE,
)

_UNIT = (
    r"(?:(?:square|cubic|sq\.?) )?(?:mm|cm|dm|km|m|in|ft|yd|mi|mg|g|kg|lb|oz|ml|mL|L|s|sec|min|h|hr|mph|kph|N"
    r"|J|W|kW|V|A|Hz|Pa|K"
    r"|degrees?|percent|dollars?|cents?|euros?|(?:kilo|centi|milli|deci)?(?:met(?:er|re)s?|grams?|lit(?:er"
    r"|re)s?)|inch(?:es)?"
    r"|feet|foot|yards?|miles?|pounds?|ounces?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|newtons?"
    r"|joules?|watts?|volts?"
    r"|units?|gallons?|quarts?|pints?|cups?|tons?)(?![\w])(?: ?\^ ?\{?[23]\}?|[²³])?(?: ?/ ?[a-zA-Z]{1,6}\b"
    r"| per [a-z]{1,12})?"
)
_NUMBER_WORDS = (
    "zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
)
_DIGITS = r"\d{1,30}(?:,\d{3}){0,9}(?:\.\d{1,30})?"
_VALUE = re.compile(
    rf"(?P<list>[\[(]-?{_DIGITS}(?:, ?-?{_DIGITS}){{1,20}}[\])])"
    r"|(?<![\w:])(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?)(?![\w:])"
    r"|(?P<latex>(?<![\w\\])[-−]?\d{0,12}\\(?:[dt]?frac\{[^{}]{1,30}\}\{[^{}]{1,30}\}|sqrt(?:\[\d\])?\{[^{}]{1,30}\})"
    r"(?: ?\\pi\b)?|(?<![\w\\.^{])[-−]?\d{0,12}(?:\.\d{1,9})?(?:\\pi\b|π|√\d{1,9})(?![\w^]))"
    rf"|(?<![\w.:/^{{\\,])(?P<number>[-−]?[$€£¥]?(?:{_DIGITS}|\.\d{{1,30}})(?: ?(?:\\times|×|x"
    rf"|\*) ?10 ?\^ ?\{{?[-−]?\d{{1,3}}\}}?|/\d{{1,12}})?"
    rf" ?(?:%|°)?)(?![\w:/^}}]|,\d|\.\d)(?P<unit> ?{_UNIT})?"
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
_FINAL_LETTER = re.compile(
    r"(?:\b(?:is|are|be|option|choice|answer|answers?:|choose|select|pick)(?: (?:option|choice|figure|picture"
    r"|image|letter|in))? ?:? ?"
    r"\(?([A-Z])\)?|\(([A-Z])\))(?=[\s.,;!*]{0,4}$)"
)
_NEXT_TO_HAN = re.compile(r"(?<=[一-龥])(?=[-\d\\])|(?<=\d)(?=[一-龥])")
_NEXT_NAME = re.compile(r" ?(?:,|;|and|, and) ?(?:[A-Za-z]|[A-Z]{2}) ?= ?")
_NEGATIVE = re.compile(
    r"\b(?:incorrect|wrong|would (?:only )?be (?:the )?(?:correct|right)|eliminated?|ruled? out"
    r"|not (?:the )?(?:correct|right|an? option))\b",
    re.IGNORECASE,
)
_REJECTED_OPTIONS = re.compile(
    r"\n[^\n]{0,60}\b(?:other|remaining|rest of the) (?:possible |answer )?(?:answers?|options?|choices?)\b",
    re.IGNORECASE,
)


def before_other_options(text: str) -> str:
    """The response up to where it explains why the other options are wrong."""
    rejected = _REJECTED_OPTIONS.search(text, 1)
    return text[: rejected.start()] if rejected else text


def conclusion(text: str) -> list[str]:
    """The last sentences, from the last one back, without polite closings and questions."""
    parts = [part.strip(" \t*#>`") for part in _END.split(text[-_TAIL:])]
    kept = [p[-_LONGEST_SENTENCE:] for p in parts if p and not p.endswith("?") and not _CLOSING.search(p[:300])]
    return kept[::-1][:_MOST_SENTENCES]


def refuses(sentence: str) -> bool:
    """Whether a sentence says that there is no answer."""
    return _REFUSAL.search(sentence) is not None


def apologises(text: str) -> bool:
    """Whether a response opens with an apology: what follows is no answer, whatever numbers it mentions."""
    return _APOLOGY.match(text) is not None


def denies(sentence: str) -> bool:
    """Whether a sentence speaks of an option to reject it."""
    return _NEGATIVE.search(sentence) is not None


def final_letter(sentence: str) -> str | None:
    """The option's letter that a sentence ends in: "the missing piece is (B).", "so I pick C"."""
    match = _FINAL_LETTER.search(sentence[-80:])
    return None if match is None else (match[1] or f"({match[2]})")


def value_of(sentence: str) -> tuple[str | None, bool]:
    """The value that a sentence names, and whether it names any; (None, True) where nothing tells several apart."""
    plain = _WRAPPED.sub(lambda m: m[1] or " ", _MATHS.sub(lambda m: f" {m[1] or m[2]} ", sentence))
    plain = _NEXT_TO_HAN.sub(" ", plain)
    found = [
        m for m in _VALUE.finditer(plain) if not _LABELLED_NUMBER.search(plain[max(0, m.start() - 20) : m.start()])
    ]
    if not found:
        return None, False
    for rule in (_EQUALS, _TOTAL, _VERB, _OF):
        chosen = [m for m in found if rule.search(plain[max(0, m.start() - _BEFORE) : m.start()])]
        if chosen:
            return (None if _one_of_several(plain, chosen, found) else _written(chosen[-1])), True
    if len({_written(m) for m in found}) == 1:
        return _written(found[-1]), True
    return None, True


def _one_of_several(plain: str, chosen: list[re.Match[str]], found: list[re.Match[str]]) -> bool:
    """Whether the last chosen value stands beside another on the same footing: "6 or 7", "x = 3, y = 4"."""
    last = chosen[-1]
    behind = next((m for m in found if m.start() >= last.end()), None)
    if behind and plain[last.end() : behind.start()].strip() in ("or", "and", "to", "-", ","):
        return True
    return len(chosen) > 1 and _NEXT_NAME.fullmatch(plain[chosen[-2].end() : last.start()][:40]) is not None


def _written(match: re.Match[str]) -> str:
    return " ".join(match[0].split())
