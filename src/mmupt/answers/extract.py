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

from mmupt.answers.reading.boxes import Span, closed_boxes, joined_boxes, last_box, whole_box
from mmupt.answers.reading.lenient import read_lenient
from mmupt.answers.reading.tags import last_tag, last_tagged
from mmupt.answers.text import MAX_LENGTH, printable, tidy

_MOST_BOXES = 100


@dataclass(frozen=True, slots=True)
class Extracted:
    r"""`answer` as written, or None; `where` it was found or looked for; `reason` why there is none.

    `span` are the characters of the response that say the answer: the whole `\boxed{...}` or `<NAME>...</NAME>`; for
    "lenient" the boxes or tags, or else the answer itself if its words stand in the response exactly once. None where
    there is no answer, or it is not known where it stands.
    """

    answer: str | None
    where: str
    reason: str | None = None
    span: Span | None = None


def extract(response: str, mode: str = "boxed", *, choices: Sequence[str] | None = None) -> Extracted:
    """Read the answer of a response in one of the modes "boxed", "lenient" and "tag:NAME".

    `choices` are the options of a multiple-choice question; only "lenient" makes use of them.
    Raises ValueError on another mode (settings allow none).

    >>> extract(r"3 + 4 = 7, so \\boxed{7}")
    Extracted(answer='7', where='boxed', reason=None, span=(14, 23))
    >>> extract("I do not know.").reason
    'no closed box'
    >>> extract("So AC is 5 cm long.", "lenient", choices=["4 cm", "5 cm"]).answer
    '5 cm'
    """
    if mode == "boxed":
        return _boxed(response)
    if mode == "lenient":
        answer, where, reason = read_lenient(response, tuple(choices) if choices else None)
        if answer is None:
            return Extracted(None, where, reason)
        return _read(answer, where, _place(response, answer, where))
    if mode.startswith("tag:") and len(mode) > 4:
        return _tagged(response, mode[4:])
    raise ValueError(f'unknown extraction mode "{mode}": use "boxed", "lenient" or "tag:NAME"')


def _read(answer: str, where: str, span: Span | None) -> Extracted:
    """The answer with unprintable characters removed, or the reason why it is none."""
    if len(answer) > MAX_LENGTH:
        return Extracted(None, where, f"longer than {MAX_LENGTH} characters")
    cleaned = printable(answer).strip()
    if not tidy(cleaned):
        return Extracted(None, where, "empty")
    return Extracted(cleaned, where, span=span)


def _boxed(response: str) -> Extracted:
    box = last_box(response)
    if box is None:
        return Extracted(None, "boxed", "no closed box")
    return _read(response[slice(*box)], "boxed", whole_box(response, box))


def _tagged(response: str, name: str) -> Extracted:
    where = f"tag:{name}"
    content = last_tagged(response, name)
    if content is None:
        return Extracted(None, where, f"no <{name}>...</{name}>")
    return _read(content, where, last_tag(response, name))


def _place(response: str, answer: str, where: str) -> Span | None:
    """Where an answer stands that was read from a cleaned copy of the response: in the last boxes or tags that say it,
    else in the one place that has its very words."""
    boxes = closed_boxes(response)[-_MOST_BOXES:] if where == "boxed" else []
    boxes = [box for box in boxes if tidy(response[box[0] : min(box[1], box[0] + MAX_LENGTH)])]
    for last in range(len(boxes), 0, -1):
        joined = joined_boxes(response, boxes[:last])
        content = ", ".join(response[slice(*box)].strip() for box in joined)
        if answer in (content, content.rpartition("=")[2].strip()):
            return whole_box(response, joined[0])[0], whole_box(response, joined[-1])[1]
    tag = last_tag(response, "answer")
    if tag is not None and (last_tagged(response, "answer") or "").strip() == answer:
        return tag
    start = response.find(answer)
    return (start, start + len(answer)) if start >= 0 and response.find(answer, start + 1) < 0 else None
