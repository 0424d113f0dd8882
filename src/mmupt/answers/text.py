r"""Clean-up of answer text, before anything is read from it.

Everything here is linear in the length of the text or bounded by a small number of passes, whatever the text.
"""

from __future__ import annotations

import re
import unicodedata

MAX_LENGTH = 1000
"""Longest answer, in characters, that is read as an answer. What is longer is a derivation, or an attack."""

_MAX_PASSES = 6  # wrappers around wrappers: `**$\boxed{\text{B}}$**` takes four

_CHARACTERS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-",
    "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "∕": "/", "⁄": "/",
    "±": r"\pm ", "∪": r"\cup ", "∅": r"\emptyset ", "≈": r"\approx ", "∶": ":",
    "º": "°", "˚": "°", "％": "%", "√": r"\sqrt ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ",
    "，": ", ", "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_MATRIX = re.compile(
    r"\\begin\s*\{([pb]?matrix|array)\}(?:\s*\{[clr|\s]*\})?((?:(?!\\begin).)*?)\\end\s*\{\1\}", re.DOTALL
)
_SPACING = re.compile(r"\\[,;:> ]|\\q?quad(?![A-Za-z])|~|\\(?:displaystyle|textstyle|left|right|limits)(?![A-Za-z])")
_WORD_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt|bb|cal)|operatorname|mbox|hbox|bm|boldsymbol)"
    r"\s*\{([^{}]*)\}"
)
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\{\s*)?\\circ(?![A-Za-z])(?:\s*\})?|\\degree(?![A-Za-z])|°)")
_DEGREE_WORD = re.compile(r"(?<=[\d\s})])\{?(?:degrees?|deg)\}?\s*$", re.IGNORECASE)
_PAIRS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"), ("`", "`"), ('"', '"'),
          ("{", "}"))  # fmt: skip
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_APPROXIMATELY = re.compile(r"\\approx(?![A-Za-z])\s*")
_REVERSED = re.compile(r"([^A-Za-z=<>]*[^A-Za-z\s=<>!:])\s*=\s*[A-Za-z]")  # 5 = x
_MEMBER = re.compile(r"[A-Za-z]\s*\\in(?![A-Za-z])\s*")
_LETTER = re.compile(r"(?<![\\A-Za-z])[A-Za-z]")
_DEFINITION = re.compile(
    r"\s*(?:\\angle\s*)?(?:\\?[A-Za-z]+|[A-Za-z](?:_\{?\w{1,4}\}?|\([a-z]\))?)\s*(?<![<>!:])=\s*(?=\S)"
)


def printable(text: str) -> str:
    r"""Without control, zero-width and formatting characters; tabs and newlines stay, full-width forms become ASCII.

    >>> printable("4\u200b2\x00 \uff10")
    '42 0'
    """
    # Source text written without escaping turns `\frac` into a form feed and "rac": that is damage, not an answer.
    text = text.replace("\x0crac", "\\frac")
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for c in text:
        category = unicodedata.category(c)
        if c in "\n\t":
            kept.append(c)
        elif category == "Zs":
            kept.append(" ")
        elif category[0] != "C":
            kept.append(unicodedata.normalize("NFKC", c) if "\uff00" <= c <= "\uffef" else c)
    return "".join(kept)


def tidy(answer: str, *, drop_name: bool = True) -> str:
    r"""The answer without its wrapping: maths delimiters, boxes, `\text`, Markdown, degree signs, a trailing period,
    and, unless `drop_name` is false, the name of what is asked for (`x = 5`, `\angle ABC = 60`).

    >>> tidy(r"**$\boxed{x = \text{ 60}^{\circ}}$**.")
    '60'
    """
    text = printable(answer)
    if not text.isascii():
        text = _spell_out(text)
    if "\\" in text or "~" in text or "{,}" in text:
        text = _simplify_latex(text)
    text = _DEGREE_WORD.sub("", _DEGREES.sub("", text))
    for _ in range(_MAX_PASSES):
        before = text
        text = text.strip().rstrip(".,;:。、").strip()
        text = _unwrapped(text)
        if drop_name:
            text = _value_of_definition(text)
        if text == before:
            break
    if "$" in text:  # maths inside text (`12 $\mathrm{m}$`), or dollars, which carry nothing
        text = text.replace("$", " ") if text.strip("$ ") else text
    return " ".join(text.split())


def inner(text: str) -> tuple[str, str, str] | None:
    """(opening, content, closing) where one pair of brackets encloses the whole text, else None."""
    if len(text) < 2 or text[0] not in "([{" or text[-1] not in ")]}":
        return None
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and i < len(text) - 1:
            return None
    return (text[0], text[1:-1].strip(), text[-1]) if depth == 0 else None


def _spell_out(text: str) -> str:
    text = _SUPERSCRIPT.sub(lambda m: "^" + _braced(m[0].translate(_SUPERSCRIPTS)), text)
    out = []
    for c in text:
        if unicodedata.category(c) == "Nd":  # the digits of other scripts
            out.append(str(unicodedata.digit(c)))
        elif unicodedata.category(c) == "No" and "⁄" in (parts := unicodedata.normalize("NFKC", c)):
            out.append(" " + parts.replace("⁄", "/"))  # a vulgar fraction: ½
        else:
            out.append(_CHARACTERS.get(c, c))
    return "".join(out)


def _braced(exponent: str) -> str:
    return exponent if len(exponent) == 1 else f"{{{exponent}}}"


def _rows(match: re.Match[str]) -> str:
    r"""`[[1, 2], [3, 4]]` for a matrix; before anything takes its `\\\\` for spacing."""
    rows = [row for row in match[2].split("\\\\") if row.strip()]
    return "[" + ", ".join("[" + ", ".join(cell.strip() for cell in row.split("&")) + "]" for row in rows) + "]"


def _simplify_latex(text: str) -> str:
    if r"\begin" in text:
        text = re.sub(r"\\left\s*[(\[]\s*(?=\[\[)|(?<=\]\])\s*\\right\s*[)\]]", "", _MATRIX.sub(_rows, text))
    text = (
        text.replace("{,}", ",")
        .replace(r"\!", "")
        .replace(r"\%", "%")
        .replace(r"\$", "$")
        .replace(r"\textdollar", "$")
        .replace(r"\colon", ":")
        .replace(r"\lbrace", r"\{")
        .replace(r"\rbrace", r"\}")
        .replace(r"\_", "_")
        .replace("\\&", "&")
    )
    text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", text)
    text = re.sub(r"\\ne(?![A-Za-z])", r"\\neq", text)
    text = _SPACING.sub(" ", text)
    for _ in range(_MAX_PASSES):
        text, count = _WORD_COMMAND.subn(r" \1 ", text)
        if not count:
            break
    return text


def _unwrapped(text: str) -> str:
    box = _BOX.match(text)
    if box and (whole := inner(text[box.end() - 1 :])):
        return whole[1]
    for opening, closing in _PAIRS:
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            content = text[len(opening) : -len(closing)]
            if opening == "{":
                whole = inner(text)
                return whole[1] if whole else text
            return text if opening in content or closing in content else content
    return text


def _value_of_definition(text: str) -> str:
    """`x = 5` says 5; `x = 1, y = 2`, `x + y = 4` and `V = W` say more than a value."""
    if text.startswith("\\approx"):
        return _APPROXIMATELY.sub("", text, count=1)
    if match := _MEMBER.match(text):
        return text[match.end() :]
    if text.count("=") != 1:
        return text
    if len(text) <= 200 and (reversed_ := _REVERSED.fullmatch(text)):
        return reversed_[1]
    match = _DEFINITION.match(text)
    value = text[match.end() :] if match else ""
    if not value or value.isalpha() or ("," in value and _LETTER.search(value)):
        return text
    return value
