r"""The answer of a response.

Modes: "boxed" reads the last closed `\boxed{...}`; "tag:NAME" the last `<NAME>...</NAME>`; "lenient" takes what it can
get of the output of any model. A response without an answer gives None with the reason, never a word that could be
mistaken for an answer. No mode ever raises on text, and time is linear in the length of the response.

The strict modes never fall back: an empty last box is an empty answer, because a vote has to mean what was put in the
box, and a box that is not closed is none.

"lenient" reads what follows the last thought (`</think>`), and of that the last `<answer>...</answer>` if it names one.
It looks at these places, and the first that has an answer decides:

1. The last box with content. Boxes divided by nothing but "and", "or" or a comma are read together, as a list. An
   empty box only speaks of the format. A box whose brace was forgotten ends with its line or formula; one in which the
   response was cut off is dropped, since digits may be missing.
2. The last statement: "the correct answer is", "the correct option letter is", "Answer:", "(B) is correct", "故选 B"
   and their like. So a correction ("Wait, ... the answer is 5") beats what it corrects, and a statement at the top
   beats an explanation without one. A statement that names an option beats later remarks about "the answer" that name
   none; one whose letter lies beyond the last option says nothing.
3. An option on the last line, then on the first, if it is not one of a list of options (a line each, or all on one):
   `C`, `(C)`, `C. 45 km`.
4. "Yes" or "No" at the very front. Of the options, where there are any (yes says true where those are true and false);
   then it beats statements that name no option.
5. A response of a few words, or of one equation; a value on the last or first line alone.
6. The first sentence, where all that follows only explains it: the second says "This is because" or "The others", or
   the only bold value stands in the first (`reading/openings.py`).
7. The conclusion, from the last sentence back (`reading/sentences.py`): the one option it names, by label or by its
   text (`reading/mentions.py`), else its final letter, else its value (`reading/amounts.py`), which is never that of
   a premise: "Since x = 5, the perimeter is 20." (`reading/clauses.py`). A number that is part of a formula is no
   value: the whole side behind the last equals sign is. A value that is no option gives way to a letter that was
   stated as a value before: "AC is (D)".

Letter and text: a letter beside the text of another option contradicts itself and names none; beside any other text
it names its option (`choices.py`). Several labels where one option is asked for name none. A response that refuses
("cannot be determined", "we need more information") has no answer unless one of 1 to 6 gave one, or that is an option.
One that was cut off inside a formula concludes nothing. A model that goes on to write the next question is read up to
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmupt.answers.reading.boxes import last_box
from mmupt.answers.reading.lenient import read_lenient
from mmupt.answers.reading.tags import last_tagged
from mmupt.answers.text import MAX_LENGTH, printable, tidy


@dataclass(frozen=True, slots=True)
class Extracted:
    """`answer` as written, or None; `where` it was found or looked for; `reason` why there is none."""

    answer: str | None
    where: str
    reason: str | None = None


def extract(response: str, mode: str = "boxed", *, choices: Sequence[str] | None = None) -> Extracted:
    """Read the answer of a response in one of the modes "boxed", "lenient" and "tag:NAME".

    `choices` are the options of a multiple-choice question; only "lenient" makes use of them.
    Raises ValueError on another mode (settings allow none).

    >>> extract(r"3 + 4 = 7, so \\boxed{7}")
    Extracted(answer='7', where='boxed', reason=None)
    >>> extract("I do not know.").reason
    'no closed box'
    >>> extract("So AC is 5 cm long.", "lenient", choices=["4 cm", "5 cm"]).answer
    '5 cm'
    """
    if mode == "boxed":
        return _boxed(response)
    if mode == "lenient":
        answer, where, reason = read_lenient(response, tuple(choices) if choices else None)
        return Extracted(None, where, reason) if answer is None else _read(answer, where)
    if mode.startswith("tag:") and len(mode) > 4:
        return _tagged(response, mode[4:])
    raise ValueError(f'unknown extraction mode "{mode}": use "boxed", "lenient" or "tag:NAME"')


def _read(answer: str, where: str) -> Extracted:
    """The answer with unprintable characters removed, or the reason why it is none."""
    if len(answer) > MAX_LENGTH:
        return Extracted(None, where, f"longer than {MAX_LENGTH} characters")
    cleaned = printable(answer).strip()
    if not tidy(cleaned):
        return Extracted(None, where, "empty")
    return Extracted(cleaned, where)


def _boxed(response: str) -> Extracted:
    span = last_box(response)
    return Extracted(None, "boxed", "no closed box") if span is None else _read(response[slice(*span)], "boxed")


def _tagged(response: str, name: str) -> Extracted:
    where = f"tag:{name}"
    content = last_tagged(response, name)
    return Extracted(None, where, f"no <{name}>...</{name}>") if content is None else _read(content, where)
